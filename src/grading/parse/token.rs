//! The words of an answer's language: LaTeX, and the plain writing that models use beside it.

/// How two sides stand to each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Relation {
    Equal,
    NotEqual,
    Less,
    LessEqual,
    Greater,
    GreaterEqual,
    Approximately,
}

impl Relation {
    /// The relation of the same sides the other way round.
    pub fn flipped(self) -> Self {
        match self {
            Self::Less => Self::Greater,
            Self::LessEqual => Self::GreaterEqual,
            Self::Greater => Self::Less,
            Self::GreaterEqual => Self::LessEqual,
            same => same,
        }
    }
}

/// What stands in pairs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bracket {
    Round,
    Square,
    /// `\{ \}`
    Set,
    /// `{ }`, which shows nothing
    Group,
    Floor,
    Ceiling,
    /// `\begin{...} \end{...}`
    Environment,
}

/// A function with a name of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Function {
    Sin,
    Cos,
    Tan,
    Cot,
    Sec,
    Csc,
    Arcsin,
    Arccos,
    Arctan,
    Ln,
    /// Base 10 where none is written, as school books have it
    Log,
    Exp,
    Absolute,
    Floor,
    Ceiling,
    Factorial,
    Binomial,
}

impl Function {
    /// The function of this name, a LaTeX command's or a plain one's.
    pub fn named(name: &str) -> Option<Self> {
        Some(match name {
            "sin" => Self::Sin,
            "cos" => Self::Cos,
            "tan" | "tg" => Self::Tan,
            "cot" | "ctg" => Self::Cot,
            "sec" => Self::Sec,
            "csc" => Self::Csc,
            "arcsin" | "asin" => Self::Arcsin,
            "arccos" | "acos" => Self::Arccos,
            "arctan" | "atan" => Self::Arctan,
            "ln" => Self::Ln,
            "log" | "lg" => Self::Log,
            "exp" => Self::Exp,
            _ => return None,
        })
    }

    pub fn is_trigonometric(self) -> bool {
        matches!(self, Self::Sin | Self::Cos | Self::Tan | Self::Cot | Self::Sec | Self::Csc)
    }

    /// The function that undoes this one, for `\sin^{-1}`.
    pub fn inverse(self) -> Option<Self> {
        match self {
            Self::Sin => Some(Self::Arcsin),
            Self::Cos => Some(Self::Arccos),
            Self::Tan => Some(Self::Arctan),
            _ => None,
        }
    }
}

/// One word.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Token {
    /// Digits with at most one point, and at most one exponent after `e`
    Number(String),
    /// Digits of another base than ten
    Based(String, u32),
    /// The digits under the line of a repeating decimal
    Repeating(String),
    /// A letter with its subscript, or a Greek letter's command
    Symbol(String),
    /// Words
    Text(String),
    Function(Function),
    Fraction,
    Binomial,
    Root,
    Open(Bracket),
    Close(Bracket),
    /// The cells of a matrix, and its rows
    Cell,
    Row,
    Bar,
    Plus,
    Minus,
    PlusMinus,
    MinusPlus,
    Times,
    Divide,
    Power,
    /// Behind a function: its base
    Subscript,
    Factorial,
    Comma,
    Semicolon,
    Colon,
    Relation(Relation),
    Union,
    In,
    Infinity,
    Reals,
    EmptySet,
    Degree,
    Percent,
    Currency(&'static str),
}

impl Token {
    /// A word that parts the members of a list.
    pub fn is_conjunction(&self) -> bool {
        matches!(self, Self::Text(text) if text == "and" || text == "or")
    }
}
