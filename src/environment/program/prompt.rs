//! What the policy reads before its first step.

use std::path::Path;

use anyhow::{Context, Result};
use espalier_training::{ChatTemplate, Message};

use super::format::Format;
use super::recipe::{CHATML, ProgramRecipe, Shot};

const CHATML_TEMPLATE: &str = "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' \
     + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}\
     {% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/// Makes prompts from questions.
#[derive(Debug)]
pub(super) struct Prompts {
    template: String,
    preamble: String,
    /// With solutions that end as the environment ends them.
    shots: Vec<Shot>,
    shot_end: String,
    chat: Option<(ChatTemplate, String)>,
    /// What stands before and behind the question, with worked examples and without.
    around: [Option<(String, String)>; 2],
}

/// Stands for the question where its place in a prompt is looked for.
const PLACE: &str = "\u{27e6}question\u{27e7}";

impl Prompts {
    /// # Errors
    /// When the examples' or the chat template's file cannot be read, or the template refuses a conversation.
    pub fn new(recipe: &ProgramRecipe, format: &Format) -> Result<Self> {
        let chat = recipe.chat.as_ref().map(|chat| {
            let template = load(&chat.template)
                .with_context(|| format!("chat.template = {:?}", chat.template))?;
            Ok::<_, anyhow::Error>((template, chat.system.clone()))
        });
        let shots = recipe.all_shots(format)?.into_iter().map(|shot| {
            let solution = shot.solution.trim();
            let end = format.answer_end.trim();
            let solution = solution.strip_suffix(end).unwrap_or(solution).trim_end();
            Shot { solution: [solution, &format.answer_end].concat(), ..shot }
        });
        let mut prompts = Self {
            template: format.prompt.clone(),
            preamble: format.preamble.clone(),
            shots: shots.collect(),
            shot_end: format.shot_end.clone(),
            chat: chat.transpose()?,
            around: [None, None],
        };
        for shots in [true, false] {
            prompts.render("How many?", shots).context("chat.template")?;
            let marked = prompts.render(PLACE, shots).context("chat.template")?;
            let around = marked.rsplit_once(PLACE).filter(|(_, after)| !after.is_empty());
            prompts.around[usize::from(shots)] =
                around.map(|(before, after)| (before.to_owned(), after.to_owned()));
        }
        Ok(prompts)
    }

    /// The question of a context, and what stands behind the prompt.
    pub fn split<'a>(&self, context: &'a str, shots: bool) -> Option<(&'a str, &'a str)> {
        let (before, after) = self.around[usize::from(shots)].as_ref()?;
        context.strip_prefix(before.as_str())?.split_once(after.as_str())
    }

    /// What the policy continues to solve a question.
    ///
    /// # Errors
    /// When the chat template refuses the conversation.
    pub fn render(&self, question: &str, shots: bool) -> Result<String> {
        let ask = |question: &str| self.template.replace("{question}", question.trim());
        let (preamble, shots) =
            if shots { (self.preamble.as_str(), &self.shots[..]) } else { ("", &[][..]) };
        let Some((template, system)) = &self.chat else {
            let mut text = preamble.to_owned();
            for Shot { question, solution } in shots {
                text.extend([&ask(question), solution, &self.shot_end].map(String::as_str));
            }
            text.push_str(&ask(question));
            return Ok(text);
        };
        let turn = |role: &str, content: &str| Message {
            role: role.to_owned(),
            content: content.trim_end().to_owned(),
        };
        let mut messages = Vec::new();
        let system = [system, preamble].concat();
        if !system.is_empty() {
            messages.push(turn("system", &system));
        }
        for Shot { question, solution } in shots {
            messages.push(turn("user", &ask(question)));
            messages.push(turn("assistant", solution));
        }
        messages.push(turn("user", &ask(question)));
        Ok(template.render(&messages, true)?)
    }
}

fn load(name: &str) -> Result<ChatTemplate> {
    let path = Path::new(name);
    if name == CHATML {
        Ok(ChatTemplate::new(CHATML_TEMPLATE, [])?)
    } else if path.is_dir() {
        ChatTemplate::load(path)?.context("the folder has no chat template")
    } else {
        let source = std::fs::read_to_string(path)
            .context("neither `chatml` nor a folder or a file that can be read")?;
        Ok(ChatTemplate::new(&source, [])?)
    }
}

#[cfg(test)]
mod tests {
    use super::super::format::{FormatRecipe, Preset};
    use super::super::recipe::ChatRecipe;
    use super::*;

    fn shot(question: &str, solution: &str) -> Shot {
        Shot { question: question.into(), solution: solution.into() }
    }

    fn prompts(recipe: &ProgramRecipe) -> Result<Prompts> {
        Prompts::new(recipe, &recipe.format.resolve().unwrap())
    }

    #[test]
    fn examples_stand_before_the_question_until_they_are_left_out() {
        let mut recipe = ProgramRecipe {
            shots: vec![shot("1 + 1?", "It is 2.\n#### 2"), shot("2 + 2?", "#### 4\n")],
            ..ProgramRecipe::default()
        };
        recipe.format.preamble = Some("Solve.\n\n".into());
        let plain = prompts(&recipe).unwrap();
        assert_eq!(
            plain.render(" 3 + 3? ", true).unwrap(),
            "Solve.\n\nQuestion: 1 + 1?\nAnswer:\nIt is 2.\n#### 2\n\nQuestion: 2 + 2?\nAnswer:\n#### 4\n\n\
             Question: 3 + 3?\nAnswer:\n"
        );
        assert_eq!(plain.render("3 + 3?", false).unwrap(), "Question: 3 + 3?\nAnswer:\n");
        recipe.format = FormatRecipe { preset: Preset::Xml, ..FormatRecipe::default() };
        let last = "<step>\n<p>\nFinal Answer: 2\n</p>\n</step>";
        recipe.shots = vec![shot("1 + 1?", last)];
        let expected =
            format!("<question> 1 + 1? </question>\n{last}\n\n<question> 3 + 3? </question>\n");
        assert_eq!(prompts(&recipe).unwrap().render("3 + 3?", true).unwrap(), expected);
    }

    #[test]
    fn a_chat_has_a_turn_for_each_question_and_solution() {
        let mut recipe = ProgramRecipe {
            shots: vec![shot("1 + 1?", "#### 2")],
            chat: Some(ChatRecipe { system: "Be brief.".into(), ..ChatRecipe::default() }),
            ..ProgramRecipe::default()
        };
        recipe.format.prompt = Some("{question}".into());
        let chat = prompts(&recipe).unwrap();
        assert_eq!(
            chat.render("3 + 3?", true).unwrap(),
            "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n1 + 1?<|im_end|>\n\
             <|im_start|>assistant\n#### 2<|im_end|>\n<|im_start|>user\n3 + 3?<|im_end|>\n<|im_start|>assistant\n"
        );
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("chat_template.jinja");
        std::fs::write(&file, "{{ bos_token }}{{ messages[-1]['content'] }}|").unwrap();
        for template in [folder.path(), &file] {
            let template = template.to_str().unwrap().to_owned();
            recipe.chat = Some(ChatRecipe { template, system: String::new() });
            assert_eq!(prompts(&recipe).unwrap().render("3 + 3?", false).unwrap(), "3 + 3?|");
        }
        recipe.chat = Some(ChatRecipe { template: "nowhere".into(), system: String::new() });
        let error = format!("{:#}", prompts(&recipe).unwrap_err());
        assert!(error.contains("chat.template = \"nowhere\""), "{error}");
    }

    #[test]
    fn examples_come_from_a_file_too_and_must_answer() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("shots.jsonl");
        std::fs::write(&path, "{\"question\": \"1 + 1?\", \"solution\": \"#### 2\"}\n").unwrap();
        let recipe = ProgramRecipe { shots_file: Some(path.clone()), ..ProgramRecipe::default() };
        assert!(
            prompts(&recipe)
                .unwrap()
                .render("3?", true)
                .unwrap()
                .contains("#### 2\n\nQuestion: 3?")
        );
        std::fs::write(&path, "{\"question\": \"1 + 1?\", \"solution\": \"2\"}\n").unwrap();
        let error = format!("{:#}", prompts(&recipe).unwrap_err());
        assert!(error.contains("shots.jsonl:1") && error.contains("####"), "{error}");
    }
}
