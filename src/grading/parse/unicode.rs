//! Mathematics that is written in signs outside ASCII.

/// Signs outside ASCII as the LaTeX that says the same.
pub fn ascii(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    let mut raised = None;
    for character in text.chars() {
        // A run of them is one exponent or one index: 10²³.
        let script = script(character);
        let now = script.map(|(mark, _)| mark);
        if raised.is_some() && raised != now {
            out.push('}');
        }
        if let Some((mark, plain)) = script {
            if raised != now {
                out.extend([mark, '{']);
            }
            out.push(plain);
        }
        raised = now;
        if script.is_some() {
            continue;
        }
        if let Some((_, name)) = GREEK_LETTERS.iter().find(|(letter, _)| *letter == character) {
            out.extend(["\\", name, " "]);
            continue;
        }
        let command = match character {
            '−' | '–' | '—' => "-",
            '×' | '·' | '⋅' | '∙' => "\\times ",
            '÷' => "\\div ",
            '√' => "\\sqrt ",
            '∛' => "\\sqrt[3] ",
            '…' => "...",
            '∞' => "\\infty ",
            '≤' | '⩽' => "\\le ",
            '≥' | '⩾' => "\\ge ",
            '≠' => "\\ne ",
            '≈' => "\\approx ",
            '±' => "\\pm ",
            '∪' => "\\cup ",
            '∈' => "\\in ",
            '∧' => "\\land ",
            '∨' => "\\lor ",
            '∅' => "\\emptyset ",
            'ℝ' => "\\mathbb{R}",
            '°' => "\\degree ",
            '℃' => "\\degree\\text{C}",
            '℉' => "\\degree\\text{F}",
            '½' => "\\frac12 ",
            '¼' => "\\frac14 ",
            '¾' => "\\frac34 ",
            '⅓' => "\\frac13 ",
            '⅔' => "\\frac23 ",
            '⅕' => "\\frac15 ",
            '⅖' => "\\frac25 ",
            '⅗' => "\\frac35 ",
            '⅘' => "\\frac45 ",
            '⅙' => "\\frac16 ",
            '⅚' => "\\frac56 ",
            '⅛' => "\\frac18 ",
            '⅜' => "\\frac38 ",
            '⅝' => "\\frac58 ",
            '⅞' => "\\frac78 ",
            '€' => "\\euro ",
            '£' => "\\pounds ",
            '，' => ",",
            '；' => ";",
            '：' => ":",
            '（' => "(",
            '）' => ")",
            '\u{a0}' | '\u{2009}' | '\u{202f}' => " ",
            _ => {
                out.push(character);
                continue;
            }
        };
        out.push_str(command);
    }
    if raised.is_some() {
        out.push('}');
    }
    out
}

/// A raised or lowered sign: what raises or lowers it in LaTeX, and the sign itself.
fn script(character: char) -> Option<(char, char)> {
    const RAISED: [(char, char); 13] = [
        ('⁰', '0'),
        ('¹', '1'),
        ('²', '2'),
        ('³', '3'),
        ('⁴', '4'),
        ('⁵', '5'),
        ('⁶', '6'),
        ('⁷', '7'),
        ('⁸', '8'),
        ('⁹', '9'),
        ('⁺', '+'),
        ('⁻', '-'),
        ('ⁿ', 'n'),
    ];
    if let Some((_, plain)) = RAISED.iter().find(|(raised, _)| *raised == character) {
        return Some(('^', *plain));
    }
    let lowered = u32::from(character).checked_sub(u32::from('₀')).filter(|digit| *digit < 10);
    Some(('_', char::from_digit(lowered?, 10)?))
}

const GREEK_LETTERS: [(char, &str); 31] = [
    ('π', "pi"),
    ('α', "alpha"),
    ('β', "beta"),
    ('γ', "gamma"),
    ('δ', "delta"),
    ('ε', "epsilon"),
    ('ζ', "zeta"),
    ('η', "eta"),
    ('θ', "theta"),
    ('ι', "iota"),
    ('κ', "kappa"),
    ('λ', "lambda"),
    ('μ', "mu"),
    ('ν', "nu"),
    ('ξ', "xi"),
    ('ρ', "rho"),
    ('σ', "sigma"),
    ('τ', "tau"),
    ('υ', "upsilon"),
    ('φ', "phi"),
    ('χ', "chi"),
    ('ψ', "psi"),
    ('ω', "omega"),
    ('Γ', "Gamma"),
    ('Δ', "Delta"),
    ('Θ', "Theta"),
    ('Λ', "Lambda"),
    ('Σ', "Sigma"),
    ('Φ', "Phi"),
    ('Ψ', "Psi"),
    ('Ω', "Omega"),
];
