//! The documents against the program: every command that they show is read by the command line, and the recipes and settings that they
//! list are those that there are.

use std::fs;
use std::path::{Path, PathBuf};

use clap::error::ErrorKind;
use clap::{CommandFactory, Parser};

use super::Cli;

/// Folders that are not the project's own text.
const FOREIGN: [&str; 4] = ["target", "runs", "data", "models"];

fn top() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// Files below a folder whose names end so, hidden folders and [`FOREIGN`] at the top left out.
fn files(folder: &Path, end: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        let foreign = folder == top() && FOREIGN.contains(&name);
        if name.starts_with('.') || foreign || path.is_symlink() {
            continue;
        }
        if path.is_dir() {
            found.extend(files(&path, end));
        } else if name.ends_with(end) {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A command as a document shows it.
#[derive(Debug)]
struct Shown {
    file: PathBuf,
    line: usize,
    text: String,
    /// Within a sentence, where a name may stand for the command.
    mention: bool,
}

/// The commands of a page: lines of fenced blocks of a shell, and what stands between backticks elsewhere.
fn of_page(file: &Path) -> Vec<Shown> {
    let text = fs::read_to_string(file).unwrap();
    let mut shown = Vec::new();
    let mut shell = None;
    let mut lines = text.lines().enumerate();
    while let Some((index, line)) = lines.next() {
        let mut add = |text: &str, mention| {
            shown.push(Shown {
                file: file.to_owned(),
                line: index + 1,
                text: text.to_owned(),
                mention,
            });
        };
        if let Some(kind) = line.trim_start().strip_prefix("```") {
            shell = match shell {
                None => Some(["sh", "bash", "shell", "console"].contains(&kind.trim())),
                Some(_) => None,
            };
            continue;
        }
        match shell {
            Some(true) => {
                let mut whole = line.to_owned();
                while whole.ends_with('\\') {
                    whole.pop();
                    whole += lines.next().map_or("", |(_, line)| line);
                }
                add(&whole, false);
            }
            Some(false) => {}
            None => line.split('`').skip(1).step_by(2).for_each(|span| add(span, true)),
        }
    }
    shown
}

/// The commands in a recipe's comments.
fn of_recipe(file: &Path) -> Vec<Shown> {
    let text = fs::read_to_string(file).unwrap();
    let comments =
        text.lines().enumerate().filter_map(|(index, line)| Some((index, line.strip_prefix('#')?)));
    let shown = |(index, line): (usize, &str)| {
        let mention = !line.starts_with("   ");
        let parts: Vec<&str> =
            if mention { line.split('`').skip(1).step_by(2).collect() } else { vec![line] };
        let line = index + 1;
        parts
            .into_iter()
            .map(move |text| Shown { file: file.to_owned(), line, text: text.to_owned(), mention })
            .collect::<Vec<_>>()
    };
    comments.flat_map(shown).collect()
}

/// A command's words, up to where the shell takes over.
fn words(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut characters = text.chars();
    while let Some(character) = characters.next() {
        match (quote, character) {
            (None, '"' | '\'') => {
                quote = Some(character);
                word.get_or_insert_default();
            }
            (Some(open), _) if open == character => quote = None,
            (None | Some('"'), '\\') => word.get_or_insert_default().extend(characters.next()),
            (None, '|' | '>' | '<' | ';' | '&') => break,
            (None, '#') if word.is_none() => break,
            (None, space) if space.is_whitespace() => words.extend(word.take()),
            _ => word.get_or_insert_default().push(character),
        }
    }
    words.extend(word);
    words
}

/// The arguments of `espalier` in a line, its name first, if the line calls it.
fn arguments(text: &str) -> Option<Vec<String>> {
    let words = words(text.trim().trim_start_matches("$ "));
    let is_setting = |word: &String| {
        word.split_once('=')
            .is_some_and(|(name, _)| name.chars().all(|c| c.is_ascii_uppercase() || c == '_'))
    };
    let start = words.iter().position(|word| !is_setting(word))?;
    let program = words[start].rsplit('/').next()?;
    (program == "espalier").then(|| words[start..].to_vec())
}

/// Why a command that is shown is none; `None` for one that is.
fn fault(shown: &Shown) -> Option<String> {
    let mut words = arguments(&shown.text)?;
    // Something was left out: what is there must be right all the same.
    let cut = words.iter().position(|word| word == "…" || word == "...");
    if let Some(cut) = cut {
        words.truncate(cut);
    }
    match Cli::try_parse_from(&words) {
        Ok(_) => None,
        Err(error) => match error.kind() {
            ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => None,
            ErrorKind::MissingRequiredArgument
            | ErrorKind::MissingSubcommand
            | ErrorKind::DisplayHelpOnMissingArgumentOrSubcommand
                if cut.is_some() || shown.mention =>
            {
                None
            }
            _ => Some(error.to_string()),
        },
    }
}

#[test]
fn every_command_that_a_document_shows_is_one() {
    let mut shown: Vec<Shown> =
        files(&top(), ".md").iter().flat_map(|page| of_page(page)).collect();
    shown.extend(files(&top().join("configs"), ".toml").iter().flat_map(|file| of_recipe(file)));
    let help = |command: &clap::Command| {
        let text = command.get_after_help().map(ToString::to_string).unwrap_or_default();
        let file = PathBuf::from(format!("espalier {} --help", command.get_name()));
        text.lines()
            .map(|line| Shown {
                file: file.clone(),
                line: 0,
                text: line.to_owned(),
                mention: false,
            })
            .collect::<Vec<_>>()
    };
    shown.extend(Cli::command().get_subcommands().flat_map(help));
    let commands = shown.iter().filter(|shown| arguments(&shown.text).is_some()).count();
    assert!(commands > 20, "{commands} commands were found");
    let faults: Vec<String> = shown
        .iter()
        .filter_map(|shown| {
            Some(format!(
                "{}:{}: {}\n{}",
                shown.file.display(),
                shown.line,
                shown.text.trim(),
                fault(shown)?
            ))
        })
        .collect();
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

#[test]
fn a_wrong_command_is_found() {
    let shown = |text: &str, mention| Shown {
        file: PathBuf::new(),
        line: 1,
        text: text.to_owned(),
        mention,
    };
    for (text, mention) in [
        ("espalier run --configuration x", false),
        ("espalier harvst", true),
        ("FOO=1 target/release/espalier run --nothing # a comment", false),
        ("espalier search --checkpoint x --slots 3 …", false),
        ("espalier search", false),
    ] {
        assert!(fault(&shown(text, mention)).is_some(), "{text}");
    }
    for (text, mention) in [
        ("espalier run --config \"a file\" --set 'search.c_puct=2' | head", false),
        ("LD_LIBRARY_PATH=/opt/lib target/release/espalier run --dry-run > report.json", false),
        ("espalier search --checkpoint x …", false),
        ("espalier search", true),
        ("$ espalier --help", false),
        ("cargo run", false),
    ] {
        assert!(
            fault(&shown(text, mention)).is_none(),
            "{text}: {:?}",
            fault(&shown(text, mention))
        );
    }
    assert_eq!(words("a 'b c' \"d\\\"e\" f\\ g #h"), ["a", "b c", "d\"e", "f g"]);
}

#[test]
fn every_recipe_is_in_the_table_of_recipes() {
    let configs = top().join("configs");
    let page = fs::read_to_string(configs.join("README.md")).unwrap();
    let rows: Vec<&str> = page.lines().filter(|line| line.starts_with('|')).collect();
    for file in files(&configs, ".toml") {
        let name = file.strip_prefix(&configs).unwrap().to_str().unwrap().to_owned();
        let quoted = format!("`{name}`");
        assert!(
            rows.iter().any(|row| row.contains(&quoted)),
            "{name} is in no row of configs/README.md"
        );
    }
}

/// The first two columns of a table's row, without backticks.
fn columns(row: &str) -> Option<(String, String)> {
    let mut cells =
        row.strip_prefix('|')?.split('|').map(|cell| cell.trim().trim_matches('`').to_owned());
    Some((cells.next()?, cells.next()?))
}

/// Where the keys and defaults of a page's marked tables are not those of the program.
fn table_faults(page: &str) -> Vec<String> {
    let settings = espalier::recipe::settings();
    let mut faults = Vec::new();
    for part in page.split("<!-- settings: ").skip(1) {
        let Some((title, rest)) = part.split_once(" -->") else { continue };
        let (section, kind) =
            title.split_once(' ').map_or((title, None), |(section, kind)| (section, Some(kind)));
        let of = |one: &&espalier::recipe::Setting| {
            one.section == section && one.kind.as_deref() == kind
        };
        let expected: Vec<(String, String)> =
            settings.iter().filter(of).map(|one| (one.key.clone(), one.default_text())).collect();
        let table = rest.split_once("<!-- end -->").map_or(rest, |(table, _)| table);
        // Below the titles and the line under them.
        let found: Vec<(String, String)> =
            table.lines().filter_map(|line| columns(line.trim())).skip(2).collect();
        for row in expected.iter().filter(|row| !found.contains(row)) {
            faults.push(format!("[{title}]: no row `{}` with default `{}`", row.0, row.1));
        }
        for row in found.iter().filter(|row| !expected.contains(row)) {
            faults.push(format!("[{title}]: there is no key `{}` with default `{}`", row.0, row.1));
        }
    }
    faults
}

#[test]
fn every_kind_has_its_table_of_settings() {
    let page = fs::read_to_string(top().join("configs/SETTINGS.md")).unwrap();
    for setting in espalier::recipe::settings() {
        let Some(kind) = setting.kind else { continue };
        let mark = format!("<!-- settings: {} {kind} -->", setting.section);
        assert!(page.contains(&mark), "SETTINGS.md lacks the table {mark}");
    }
}

#[test]
fn marked_tables_of_settings_are_those_of_the_program() {
    for file in files(&top(), ".md") {
        let faults = table_faults(&fs::read_to_string(&file).unwrap());
        assert!(faults.is_empty(), "{}:\n{}", file.display(), faults.join("\n"));
    }
    let of = |rows: &str| {
        let table = format!(
            "<!-- settings: problems jsonl -->\n| key | default |\n| --- | --- |\n{rows}\n<!-- end -->\n| `x` | 1 |\n"
        );
        table_faults(&table)
    };
    assert_eq!(of("| `path` | `\"\"` | the file |"), Vec::<String>::new());
    assert_eq!(of("| `path` | `\"x\"` |").len(), 2);
    assert_eq!(of("").len(), 1);
    assert_eq!(of("| `path` | `\"\"` |\n| `file` | absent |").len(), 1);
}
