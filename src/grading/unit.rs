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
