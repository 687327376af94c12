//! The published process reward models, each as its makers read it. Tags and words are texts, looked up in the checkpoint's own
//! tokenizer: derived checkpoints have other vocabularies.

use serde::{Deserialize, Serialize};

use super::aggregation::Aggregation;
use super::form::{ChatUse, Form, HeadRecipe, TagToken};

/// A published reader.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, clap::ValueEnum)]
pub enum Preset {
    /// TRL's token classifiers (`trl-lib/*-PRM`, axolotl's), every piece tokenised by itself, with a line end behind each step.
    #[default]
    #[serde(rename = "trl")]
    #[value(name = "trl")]
    Trl,
    /// The same classifiers asked by one text, with blank lines, as TRL's own example and the published ProcessBench figures do.
    #[serde(rename = "trl-joined")]
    #[value(name = "trl-joined")]
    TrlJoined,
    /// Qwen2.5-Math-PRM-7B and -72B, Qwen2.5-Math-7B-PRM800K (arXiv 2501.07301).
    #[serde(rename = "qwen2.5-math-prm")]
    #[value(name = "qwen2.5-math-prm")]
    Qwen25MathPrm,
    /// ReasonFlux-PRM-7B (arXiv 2506.18896): the same without a system's turn of ours.
    #[serde(rename = "reasonflux-prm")]
    #[value(name = "reasonflux-prm")]
    ReasonFluxPrm,
    /// math-shepherd-mistral-7b-prm (arXiv 2312.08935).
    #[serde(rename = "math-shepherd")]
    #[value(name = "math-shepherd")]
    MathShepherd,
    /// RLHFlow's Llama3.1-8B-PRM-Mistral-Data and -Deepseek-Data.
    #[serde(rename = "rlhflow")]
    #[value(name = "rlhflow")]
    Rlhflow,
    /// Skywork-o1-Open-PRM-Qwen-2.5-1.5B and -7B.
    #[serde(rename = "skywork-o1")]
    #[value(name = "skywork-o1")]
    SkyworkO1,
    /// PURE-PRM-7B (arXiv 2504.15275).
    #[serde(rename = "pure")]
    #[value(name = "pure")]
    Pure,
    /// EurusPRM-Stage1 and -Stage2, ImplicitPRM (arXiv 2412.01981); `head.reference` must name the reference model.
    #[serde(rename = "eurus-prm")]
    #[value(name = "eurus-prm")]
    EurusPrm,
    /// ER-PRM's Llama3.1-math-PRM (arXiv 2412.11006).
    #[serde(rename = "er-prm")]
    #[value(name = "er-prm")]
    ErPrm,
    /// OpenR's Math-psa (arXiv 2410.09671).
    #[serde(rename = "math-psa")]
    #[value(name = "math-psa")]
    MathPsa,
    /// PQM over deepseek-math-7b (arXiv 2410.11287).
    #[serde(rename = "pqm")]
    #[value(name = "pqm")]
    Pqm,
    /// Easy-to-Hard's llemma-7b-prm (arXiv 2403.09472).
    #[serde(rename = "easy-to-hard")]
    #[value(name = "easy-to-hard")]
    EasyToHard,
    /// ReasonEval-34B (arXiv 2404.05692).
    #[serde(rename = "reasoneval-34b")]
    #[value(name = "reasoneval-34b")]
    ReasonEval34B,
    /// ReasonEval-7B, whose number stands one token earlier.
    #[serde(rename = "reasoneval-7b")]
    #[value(name = "reasoneval-7b")]
    ReasonEval7B,
    /// MathMinos (arXiv 2406.14024).
    #[serde(rename = "math-minos")]
    #[value(name = "math-minos")]
    MathMinos,
    /// Babelscape's Llama-3.1-8B-PRM800k-r.
    #[serde(rename = "babelscape")]
    #[value(name = "babelscape")]
    Babelscape,
}

/// Qwen's system turn for mathematics.
const QWEN_SYSTEM: &str = "Please reason step by step, and put your final answer within \\boxed{}.";

impl Preset {
    /// All of the form's pieces.
    pub(super) fn form(self) -> Form {
        // TRL's is the plainest: the others say what differs.
        let plain = Form {
            prompt: "{bos}{question}".to_owned(),
            chat: ChatUse::None,
            system: String::new(),
            step: "{step}".to_owned(),
            between: String::new(),
            tag: "\n".to_owned(),
            tag_token: TagToken::Any,
            tag_every: true,
            apart: true,
            special_tokens: false,
            one_line: false,
            shift: 0,
            head: HeadRecipe::default(),
            aggregation: Aggregation::Last,
        };
        let text = |prompt: &str, tag: &str| Form {
            prompt: prompt.to_owned(),
            tag: tag.to_owned(),
            tag_token: TagToken::Last,
            apart: false,
            special_tokens: true,
            ..plain.clone()
        };
        let tokens =
            |good: &str, bad: &str| HeadRecipe::Tokens { good: good.into(), bad: bad.into() };
        let numbered = "Step {n}: {step}".to_owned();
        match self {
            Self::Trl => plain,
            Self::TrlJoined => Form { tag_token: TagToken::Any, ..text("{question}\n\n", "\n\n") },
            Self::Qwen25MathPrm => Form {
                chat: ChatUse::Answer,
                system: QWEN_SYSTEM.to_owned(),
                ..text("{question}", "<extra_0>")
            },
            Self::ReasonFluxPrm => Form { system: String::new(), ..Self::Qwen25MathPrm.form() },
            Self::MathShepherd => Form {
                step: numbered,
                between: "\n".to_owned(),
                head: tokens("+", "-"),
                aggregation: Aggregation::Min,
                ..text("{question} ", " ки")
            },
            Self::Rlhflow => Form {
                chat: ChatUse::Turns,
                tag_token: TagToken::Any,
                head: tokens("+", "-"),
                aggregation: Aggregation::Mean,
                ..text("{question} ", "+")
            },
            Self::SkyworkO1 => Form {
                tag_token: TagToken::Last,
                one_line: true,
                head: HeadRecipe::Scalar,
                prompt: "{bos}{question}\n".to_owned(),
                ..plain
            },
            Self::Pure => Form { aggregation: Aggregation::Softmin, ..plain },
            Self::EurusPrm => Form {
                chat: ChatUse::Answer,
                step: numbered,
                between: "\n\n".to_owned(),
                tag_token: TagToken::Any,
                head: HeadRecipe::Implicit { reference: std::path::PathBuf::new(), beta: 0.001 },
                aggregation: Aggregation::Min,
                ..text("{question}", "")
            },
            Self::ErPrm => Form { head: tokens(" +", " -"), ..text("{question} ", " ки") },
            Self::MathPsa => Form {
                between: " ".to_owned(),
                head: tokens(" +", " -"),
                ..text("{question} ", " \n\n\n\n\n")
            },
            Self::Pqm => Form {
                step: numbered,
                between: "\n".to_owned(),
                special_tokens: false,
                head: HeadRecipe::Scalar,
                aggregation: Aggregation::Min,
                ..text("[INST] {question} [/INST]\n", " [PRM]")
            },
            // Of the two line ends behind a step the first is read.
            Self::EasyToHard => Form {
                between: "\n".to_owned(),
                tag_token: TagToken::Any,
                head: HeadRecipe::MeanLogit,
                aggregation: Aggregation::Min,
                ..text("# Question\n\n{question}\n\n# Solution\n\n", "\n")
            },
            Self::ReasonEval34B => Form {
                prompt: "{bos}Question:\n{question}\nAnswer:\nLet's think step by step.\n"
                    .to_owned(),
                tag: String::new(),
                head: HeadRecipe::Classes { good: vec![1, 2] },
                aggregation: Aggregation::Min,
                ..plain
            },
            Self::ReasonEval7B => Form { shift: 1, ..Self::ReasonEval34B.form() },
            Self::MathMinos => Form {
                step: numbered,
                between: "\n".to_owned(),
                head: HeadRecipe::Scalar,
                ..text("Human: {question}\n\nAssistant:", " и")
            },
            Self::Babelscape => Form {
                step: "Step {n}: {step}\n".to_owned(),
                tag_token: TagToken::First,
                between: "\n".to_owned(),
                head: HeadRecipe::Scalar,
                ..text("Problem: {question}\nSteps:\n", "ки")
            },
        }
    }
}
