//! Answers as models write them, from a grammar.

use crate::random::Random;

const ATOMS: &[&str] = &[
    "1",
    "2",
    "0",
    "10",
    "-3",
    "3.5",
    ".5",
    "1,000",
    "99999999999",
    "10^{10}",
    "1e99",
    "0.\\overline{3}",
    "x",
    "y",
    "n",
    "e",
    "i",
    "\\pi",
    "\\theta",
    "\\infty",
    "-\\infty",
    "f(x)",
    "a_1",
    "x^2",
    "5!",
    "\\frac12",
    "50\\%",
    "\\$5",
    "30^\\circ",
    "3\\text{ cm}",
    "5 apples",
    "\\text{A}",
    "(B)",
    "\\varnothing",
    "\\mathbb{R}",
    "½",
    "√2",
    "²",
    "π",
    "é",
    "日本",
    "\\left",
    "\\right",
    "\\",
    "{",
    "}",
    "$",
    "&",
    "101_2",
    "12:30",
    "true",
];

/// Each with what stands in the place of `#`.
const SHAPES: &[&str] = &[
    "\\frac{#}{#}",
    "\\dfrac{#}{#}",
    "#/#",
    "\\sqrt{#}",
    "\\sqrt[#]{#}",
    "(#)",
    "[#, #)",
    "(#, #]",
    "(#, #, #)",
    "\\{#, #\\}",
    "#^{#}",
    "#^#",
    "#_{#}",
    "# + #",
    "# - #",
    "# \\cdot #",
    "#*#",
    "##",
    "# \\pm #",
    "-#",
    "x = #",
    "# \\le x < #",
    "x \\in #",
    "# \\cup #",
    "# \\text{ and } #",
    "# or #",
    "#, #",
    "#; #",
    "|#|",
    "\\log_{#} #",
    "\\ln #",
    "\\sin(#)",
    "\\binom{#}{#}",
    "\\lfloor # \\rfloor",
    "\\overline{#}",
    "#!",
    "\\begin{pmatrix} # & # \\\\ # & # \\end{pmatrix}",
    "\\boxed{#}",
    "\\text{#}",
    "\\left( # \\right)",
    "$#$",
    "#\\%",
    "# \\text{ cm}^2",
    "#:#",
    "\\sum_{#}^{#} #",
    "\\int_{#}^{#} #",
    "#\\frac{#}{#}",
    "# \\mod #",
    "\\#",
];

/// An answer.
pub fn answer(random: &mut Random) -> String {
    let mut text = match random.below(40) {
        0 => nested(random),
        1 => random.pick(ATOMS).repeat(random.times()),
        _ => {
            let depth = random.below(5);
            expression(depth, random)
        }
    };
    if random.once_in(6) {
        let at = random.below(text.len() + 1);
        let at = (0..=at).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        match random.below(3) {
            0 => text.truncate(at),
            1 => text.insert_str(at, random.pick::<&str>(ATOMS)),
            _ => text.replace_range(at..at, random.pick::<&str>(SHAPES)),
        }
    }
    text
}

fn expression(depth: usize, random: &mut Random) -> String {
    if depth == 0 {
        return (*random.pick(ATOMS)).to_owned();
    }
    let mut text = String::new();
    for piece in random.pick(SHAPES).split_inclusive('#') {
        match piece.strip_suffix('#') {
            Some(before) => {
                let depth = random.below(depth);
                text.extend([before, &expression(depth, random)]);
            }
            None => text.push_str(piece),
        }
    }
    text
}

fn nested(random: &mut Random) -> String {
    let shapes = [
        ("(", ")"),
        ("{", "}"),
        ("\\frac{1}{", "}"),
        ("\\sqrt{", "}"),
        ("2^{", "}"),
        ("|", "|"),
        ("-", ""),
        ("\\{", "\\}"),
        ("\\left(", "\\right)"),
        ("\\boxed{", "}"),
        ("\\text{", "}"),
        ("x=", ""),
        ("[0,", "]"),
        ("\\sin ", ""),
        ("9^", ""),
        ("(1+x)(", ")"),
        ("\\overline{", "}"),
        ("", "!"),
    ];
    let (open, close) = *random.pick(&shapes);
    let depth = *random.pick(&[5, 20, 50, 100, 500, 3000, 20_000]);
    format!("{}{}{}", open.repeat(depth), random.pick(ATOMS), close.repeat(depth))
}
