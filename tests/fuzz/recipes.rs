//! Recipes, and single settings laid over them.

use std::fs;

use espalier::recipe::{self, to_toml};

use crate::harness::fuzz;
use crate::mutate::lines::Lines;
use crate::scratch::{Scratch, folder};

#[test]
fn recipes() {
    let files = folder("configs")
        .into_iter()
        .filter(|path| path.extension().is_some_and(|end| end == "toml"));
    let texts: Vec<String> = files
        .map(|path| fs::read_to_string(path).unwrap())
        // A base is another file, which a line of another seed may name all the same.
        .filter(|text| !text.contains("extends"))
        .collect();
    let seeds = Lines::new(texts.iter().map(String::as_str));
    let scratch = Scratch::new();
    fuzz(
        "recipes",
        |random| seeds.changed(random),
        |input| {
            let path = scratch.write("recipe.toml", input);
            match recipe::load(Some(&path), &[]) {
                Ok(recipe) => {
                    to_toml(&recipe).unwrap();
                    true
                }
                // What the TOML reader says is told with the text around it.
                Err(error) => !format!("{error:#}").contains("TOML parse error"),
            }
        },
    );
}

#[test]
fn overrides() {
    let settings = recipe::settings();
    let keys = settings.iter().map(|setting| format!("{}.{}", setting.section, setting.key));
    let lines: String = keys.map(|key| format!("{} = 1\n", key.trim_start_matches('.'))).collect();
    let seeds = Lines::new([lines.as_str()]);
    fuzz(
        "overrides",
        |random| {
            let text = seeds.changed(random);
            let lines: Vec<&[u8]> = text.split(|byte| *byte == b'\n').collect();
            let from = random.below(lines.len());
            lines[from..].iter().take(1 + random.below(3)).copied().collect::<Vec<_>>().join(&b'\n')
        },
        |input| {
            let text = String::from_utf8_lossy(input);
            let overrides: Vec<String> = text.lines().map(str::to_owned).collect();
            let loaded = recipe::load(None, &overrides);
            loaded.map_or_else(|error| !format!("{error:#}").contains("write key=value"), |_| true)
        },
    );
}
