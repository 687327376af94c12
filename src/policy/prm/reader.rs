//! From a question and the steps of its solution to the tokens that a process reward model reads.

use espalier_model::checkpoint::Checkpoint;
use espalier_training::{ChatTemplate, Message, Tokenizer};

use super::form::{ChatUse, Form, HeadRecipe, TagToken};
use crate::environment::Written;
use crate::policy::error::PolicyError;

/// Writes solutions in one form for one tokenizer.
pub(super) struct Reader {
    pub form: Form,
    /// None where the text is all that is needed.
    tokenizer: Option<Tokenizer>,
    template: Option<ChatTemplate>,
    /// The text of the token that begins a text; empty where there is none.
    bos: String,
    /// The tokens of the tag by itself; where it must be one token, that one.
    tag: Vec<u32>,
}

impl Reader {
    /// Looks the form's tags up in a checkpoint's tokenizer.
    ///
    /// # Errors
    /// When the tag is no token there, or the form has turns and the checkpoint no chat template.
    pub fn new(form: Form, checkpoint: &Checkpoint) -> Result<Self, PolicyError> {
        let model = |error: espalier_model::error::Error| PolicyError::Usage(error.to_string());
        let usage = |message: String| Err(PolicyError::Usage(message));
        let mut template = None;
        if form.chat != ChatUse::None {
            template = checkpoint.chat_template().map_err(model)?;
            if template.is_none() {
                return usage(format!(
                    "[policy] value.form.chat = {}: the checkpoint has no chat template",
                    serde_json::json!(form.chat)
                ));
            }
        }
        let bos = checkpoint.bos_token().map_err(model)?.unwrap_or_default();
        let mut tokenizer = checkpoint.tokenizer.clone();
        tokenizer.set_add_special_tokens(false);
        let encode = |text: &str| tokenizer.encode(text).map_err(model);
        let mut tag = encode(&form.tag)?;
        if form.tag_token == TagToken::Last && !form.apart {
            // SentencePiece's kind puts a blank of its own before a text.
            let alone = encode(form.tag.trim_start_matches(' '))?;
            tag = [tag, alone].into_iter().find(|ids| ids.len() == 1).unwrap_or_default();
            if tag.is_empty() {
                return usage(format!(
                    "[policy] value.form.tag = {:?} is no token of the reward model's tokenizer: the model is of another kind than value.form says",
                    form.tag
                ));
            }
        }
        let own = form.special_tokens && form.chat == ChatUse::None && !form.apart;
        tokenizer.set_add_special_tokens(own);
        Ok(Self { form, tokenizer: Some(tokenizer), template, bos, tag })
    }

    /// One that writes texts alone.
    #[cfg(feature = "served")]
    pub fn of_text(form: Form) -> Self {
        Self { form, tokenizer: None, template: None, bos: String::new(), tag: Vec::new() }
    }

    /// The token that a word of [`HeadRecipe::Tokens`] is: its last.
    ///
    /// # Errors
    /// When the tokenizer refuses the word, or both are the same token.
    pub fn words(&self) -> Result<Option<[u32; 2]>, PolicyError> {
        let HeadRecipe::Tokens { good, bad } = &self.form.head else { return Ok(None) };
        let Some(mut tokenizer) = self.tokenizer.clone() else { return Ok(None) };
        tokenizer.set_add_special_tokens(false);
        let last = |word: &str| {
            let ids =
                tokenizer.encode(word).map_err(|error| PolicyError::Usage(error.to_string()))?;
            ids.last().copied().ok_or_else(|| {
                PolicyError::Usage(format!("[policy] value.form.head: {word:?} has no tokens"))
            })
        };
        let ids = [last(good)?, last(bad)?];
        if ids[0] == ids[1] {
            return Err(PolicyError::Usage(format!(
                "[policy] value.form.head: {good:?} and {bad:?} are one token, {}, to the reward model's tokenizer",
                ids[0]
            )));
        }
        Ok(Some(ids))
    }

    /// The text of a solution up to the place where its last step's number is read, or behind it where there are turns; none where pieces
    /// are tokenised apart.
    ///
    /// # Errors
    /// When the chat template refuses the conversation, or drops the tag.
    pub fn text(&self, solution: &Written) -> Result<Option<String>, String> {
        if self.form.apart {
            return Ok(None);
        }
        match self.form.chat {
            ChatUse::None => {
                Ok(Some([self.prompt(&solution.question), self.steps(&solution.steps)].concat()))
            }
            ChatUse::Answer => self.answer(solution).map(Some),
            ChatUse::Turns => self.turns(solution).map(Some),
        }
    }

    /// The tokens of [`Self::text`]: the number is read at the last of them.
    ///
    /// # Errors
    /// As [`Self::text`]; when the tag's token is not where it should be, or nothing is left to be read.
    pub fn tokens(&self, solution: &Written) -> Result<Vec<u32>, String> {
        let mut ids = match self.text(solution)? {
            Some(text) => self.encode(&text)?,
            None => self.pieces(solution)?,
        };
        if self.form.chat == ChatUse::Turns {
            // What predicts the assistant's answer, tokenised with the answer behind it: without it, line ends may join.
            let answer = self.tag.last().and_then(|tag| ids.iter().rposition(|id| id == tag));
            ids.truncate(answer.ok_or("the chat template drops the assistant's answer")?);
        }
        if !self.form.apart && self.form.chat != ChatUse::Turns {
            self.check_tag(&ids)?;
            if self.form.tag_token == TagToken::First {
                ids.truncate(ids.len() - (self.tag.len().max(1) - 1));
            }
        }
        let kept = ids.len().saturating_sub(self.form.shift);
        ids.truncate(kept);
        if ids.is_empty() {
            return Err("there is no token to read the number at".to_owned());
        }
        Ok(ids)
    }

    /// The chat before the answer, and the whole chat, of an implicit reward.
    ///
    /// # Errors
    /// As [`Self::text`].
    pub fn halves(&self, solution: &Written) -> Result<(String, String), String> {
        let whole = self.answer(solution)?;
        let content = self.steps(&solution.steps);
        let at = whole.rfind(content.trim()).ok_or("the chat template changes the answer")?;
        Ok((whole[..at].to_owned(), whole[at..].to_owned()))
    }

    fn check_tag(&self, ids: &[u32]) -> Result<(), String> {
        if self.form.tag_token == TagToken::Any || ids.ends_with(&self.tag) {
            return Ok(());
        }
        Err(format!(
            "the tag {:?} is not the token {:?} behind this step: the tokenizer joins it with the step",
            self.form.tag, self.tag
        ))
    }

    fn encode(&self, text: &str) -> Result<Vec<u32>, String> {
        let tokenizer = self.tokenizer.as_ref().ok_or("no tokenizer")?;
        tokenizer.encode(text).map_err(|error| error.to_string())
    }

    fn prompt(&self, question: &str) -> String {
        // The question last, so that nothing in it is taken for a place.
        self.form.prompt.replace("{bos}", &self.bos).replace("{question}", question.trim())
    }

    fn step(&self, index: usize, step: &str) -> String {
        let mut step = step.trim().to_owned();
        if self.form.one_line {
            step = step.split_whitespace().collect::<Vec<_>>().join(" ");
        }
        let (before, after) = self.form.step.split_once("{step}").unwrap_or_default();
        let number = |text: &str| text.replace("{n}", &(index + 1).to_string());
        let (before, after) = (number(before), number(after));
        let numbered = !before.is_empty() && step.starts_with(before.trim_end());
        [if numbered { "" } else { before.as_str() }, &step, &after].concat()
    }

    /// The steps with their tags.
    fn steps(&self, steps: &[String]) -> String {
        let mut text = String::new();
        for (index, step) in steps.iter().enumerate() {
            text.push_str(&self.step(index, step));
            let last = index + 1 == steps.len();
            if last || self.form.tag_every {
                text.push_str(&self.form.tag);
            }
            if !last {
                text.push_str(&self.form.between);
            }
        }
        text
    }

    /// Prompt, steps and tags, each tokenised by itself.
    fn pieces(&self, solution: &Written) -> Result<Vec<u32>, String> {
        let mut ids = self.encode(&self.prompt(&solution.question))?;
        let tag = match self.form.tag_token {
            TagToken::Any => &self.tag[..],
            TagToken::Last => &self.tag[self.tag.len().saturating_sub(1)..],
            TagToken::First => &self.tag[..self.tag.len().min(1)],
        };
        for (index, step) in solution.steps.iter().enumerate() {
            ids.extend(self.encode(&self.step(index, step))?);
            let last = index + 1 == solution.steps.len();
            if last || self.form.tag_every {
                ids.extend(tag);
            }
            if !last && !self.form.between.is_empty() {
                ids.extend(self.encode(&self.form.between)?);
            }
        }
        Ok(ids)
    }

    fn render(&self, turns: &[(&str, String)]) -> Result<String, String> {
        let Some(template) = &self.template else { return Err("no chat template".to_owned()) };
        let mut messages = Vec::new();
        let message = |role: &str, content: &str| Message {
            role: role.to_owned(),
            content: content.to_owned(),
        };
        if !self.form.system.is_empty() {
            messages.push(message("system", &self.form.system));
        }
        messages.extend(turns.iter().map(|(role, content)| message(role, content)));
        template.render(&messages, false).map_err(|error| error.to_string())
    }

    /// The chat up to the last tag, or to the end of the answer where there is none.
    fn answer(&self, solution: &Written) -> Result<String, String> {
        let steps = self.steps(&solution.steps);
        let tail = if self.form.tag.is_empty() {
            steps.trim_end().rsplit('\n').next().unwrap_or_default().to_owned()
        } else {
            self.form.tag.clone()
        };
        let turns = [("user", self.prompt(&solution.question)), ("assistant", steps)];
        let mut text = self.render(&turns)?;
        let at = text
            .rfind(&tail)
            .ok_or_else(|| format!("the chat template drops {tail:?} at the answer's end"))?;
        text.truncate(at + tail.len());
        Ok(text)
    }

    /// The chat with the assistant's answer to the last step.
    fn turns(&self, solution: &Written) -> Result<String, String> {
        let mut turns = Vec::new();
        for (index, step) in solution.steps.iter().enumerate() {
            let step = self.step(index, step);
            let text = match index {
                0 => [self.prompt(&solution.question), step].concat(),
                _ => step,
            };
            turns.extend([("user", text), ("assistant", self.form.tag.clone())]);
        }
        self.render(&turns)
    }
}
