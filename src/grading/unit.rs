//! Units: what may stand behind a number and may be left out.

/// Names that mean the same; the first is the one that is kept.
const SAME: [&[&str]; 37] = [
    &["cm", "centimeter", "centimetre"],
    &["mm", "millimeter", "millimetre"],
    &["km", "kilometer", "kilometre"],
    &["m", "meter", "metre"],
    &["in", "inch", "inche"],
    &["ft", "foot", "feet"],
    &["yd", "yard"],
    &["mi", "mile"],
    &["mph", "mi/hr", "mi/h", "mile/hour"],
    &["km/h", "kmh", "kph", "km/hr", "km/hour"],
    &["g", "gram", "gm"],
    &["kg", "kilogram"],
    &["mg", "milligram"],
    &["lb", "pound"],
    &["oz", "ounce"],
    &["ton", "tonne"],
    &["l", "liter", "litre"],
    &["ml", "milliliter", "millilitre"],
    &["gal", "gallon"],
    &["s", "sec", "second"],
    &["min", "minute"],
    &["h", "hr", "hour"],
    &["day"],
    &["week"],
    &["month"],
    &["yr", "year"],
    &["dollar", "usd", "buck"],
    &["cent"],
    &["euro", "eur"],
    &["yuan", "rmb"],
    &["degree", "deg"],
    &["radian", "rad"],
    &["unit"],
    &["am", "a.m"],
    &["pm", "p.m"],
    &["%", "percent"],
    &["person", "people"],
];

/// Words that multiply the number before them.
const SCALES: [(&str, u64); 6] = [
    ("dozen", 12),
    ("hundred", 100),
    ("thousand", 1000),
    ("million", 1_000_000),
    ("billion", 1_000_000_000),
    ("trillion", 1_000_000_000_000),
];

/// Words that make another answer of the number before them: `5 or more`, `2 squared`, `7 hours and 30 minutes`.
const CHANGING: [&str; 29] = [
    "and",
    "or",
    "not",
    "more",
    "less",
    "fewer",
    "least",
    "most",
    "above",
    "below",
    "over",
    "under",
    "out",
    "plus",
    "minus",
    "negative",
    "half",
    "halve",
    "third",
    "fifth",
    "tenth",
    "hundredth",
    "squared",
    "cubed",
    "root",
    "factorial",
    "mod",
    "modulo",
    "remainder",
];

/// What the words at the beginning multiply the number before them by, and the other words.
pub fn scaled(text: &str) -> (u64, &str) {
    let (mut scale, mut rest) = (1_u64, text.trim_start());
    loop {
        let (first, others) = rest.split_once(char::is_whitespace).unwrap_or((rest, ""));
        let lower = first.trim_matches(['.', ',']).to_lowercase();
        let singular = lower.strip_suffix('s').unwrap_or(&lower);
        let found = SCALES.iter().find(|(name, _)| *name == singular);
        let Some(product) = found.and_then(|(_, factor)| scale.checked_mul(*factor)) else {
            return (scale, rest);
        };
        (scale, rest) = (product, others.trim_start());
    }
}

/// Whether words behind a number are more than what it counts.
pub fn changes(text: &str) -> bool {
    text.contains(['=', '<', '>'])
        || text.to_lowercase().split(|c: char| !c.is_alphanumeric() && c != '^').any(|word| {
            let singular = word.strip_suffix('s').unwrap_or(word);
            let number = !word.is_empty() && word.bytes().all(|byte| byte.is_ascii_digit());
            number || CHANGING.contains(&word) || CHANGING.contains(&singular)
        })
}

/// One word of a unit: no plural, no abbreviation.
fn word(word: &str) -> &str {
    let word = word.trim_matches(['.', ',']);
    let singular = match word.strip_suffix('s') {
        Some(singular) if word.len() > 2 && !singular.ends_with('s') => singular,
        _ => word,
    };
    let same = SAME.iter().find(|names| names.contains(&word) || names.contains(&singular));
    same.map_or(singular, |names| names[0])
}

/// Whether these letters behind a number are a unit rather than a product.
pub fn is_known(letters: &str) -> bool {
    let word = word(letters);
    letters.len() > 1 && SAME.iter().any(|names| names[0] == word)
}

/// A unit in one form: `None` when nothing is left of it.
pub fn normal(text: &str) -> Option<String> {
    let lower = text.to_lowercase();
    let mut words = Vec::new();
    let mut square = None;
    for each in lower.split_whitespace() {
        match word(each) {
            "" | "of" | "the" | "a" | "an" => {}
            "square" | "sq" => square = Some("^2"),
            "cubic" | "cu" => square = Some("^3"),
            "per" => words.push("/".to_owned()),
            unit => words.push(format!("{unit}{}", square.take().unwrap_or(""))),
        }
    }
    let joined = words.concat();
    let whole = word(&joined).to_owned();
    (!whole.is_empty()).then_some(whole)
}
