//! Pages for a browser: what they say, and that a real Chromium draws them.

use std::fs;
use std::path::Path;

use serde_json::{Value, json};

use crate::browser::Browser;
use crate::program::{fail, run, text, tiny_run};

const PROBE: &str =
    "rounds.probe={problems=4, pass_at_k={k=[1, 2], samples=2}, search={simulations=8, samples=3}}";

/// The data of a page.
fn data(page: &Path) -> Value {
    let html = fs::read_to_string(page).unwrap();
    let (_, rest) = html.split_once("id=\"data\">").unwrap();
    serde_json::from_str(rest.split_once("</script>").unwrap().0).unwrap()
}

/// The address of a file.
fn address(page: &Path) -> String {
    format!("file://{}", page.display())
}

#[test]
fn the_report_has_the_numbers_of_the_table_and_a_run_writes_it() {
    let folder = tempfile::tempdir().unwrap();
    let run_dir = tiny_run(folder.path(), &["rounds.count=2", PROBE]);
    let page = run_dir.join("report.html");
    assert!(fs::metadata(&page).unwrap().len() < 3_000_000);
    let shown = data(&page);
    let csv = run(&["report", text(&run_dir), "--format", "csv"]);
    for (line, row) in csv.lines().skip(1).zip(shown["sheets"][0]["rows"].as_array().unwrap()) {
        let cells: Vec<&str> =
            row.as_array().unwrap().iter().map(|cell| cell.as_str().unwrap()).collect();
        assert_eq!(line.replace('"', ""), cells.join(","));
    }
    let summary = |stage: &str| -> Value {
        let file = run_dir.join("rounds/2").join(format!("{stage}.json"));
        serde_json::from_str(&fs::read_to_string(file).unwrap()).unwrap()
    };
    let chart = |title: &str| {
        let charts = shown["charts"].as_array().unwrap();
        charts.iter().find(|chart| chart["title"] == title).unwrap_or_else(|| panic!("{title}"))
    };
    let evaluated = summary("evaluate");
    for (line, result) in chart("Problems answered right")["lines"]
        .as_array()
        .unwrap()
        .iter()
        .zip(evaluated["results"].as_array().unwrap())
    {
        assert_eq!(line["label"], result["decoding"]);
        for (place, number) in
            [json!(2.0), result["accuracy"].clone(), result["low"].clone(), result["high"].clone()]
                .iter()
                .enumerate()
        {
            let shown = line["points"][2][place].as_f64().unwrap();
            assert!((shown - number.as_f64().unwrap()).abs() < 1e-12, "{line}, {result}");
        }
    }
    // Greedy reads the question at least, and every step but the last with what stood before it.
    let greedy = &evaluated["results"][0];
    let read = greedy["tokens_read_per_problem"].as_f64().unwrap();
    assert!(read > greedy["tokens_per_problem"].as_f64().unwrap(), "{greedy}");
    let all = chart("Right answers for all tokens")["lines"][0]["points"][2][0].as_f64().unwrap();
    assert!((all - read - greedy["tokens_per_problem"].as_f64().unwrap()).abs() < 1e-9);
    let searched = summary("search");
    let stops: u64 =
        searched["stops"].as_object().unwrap().values().map(|count| count.as_u64().unwrap()).sum();
    assert_eq!(stops, searched["problems"].as_u64().unwrap());
    let read = |key: &str| searched["inference"][key].as_u64().unwrap();
    let contexts = read("prefix_tokens_computed") + read("prefix_tokens_reused");
    assert!(contexts > 0);
    assert_eq!(searched["tokens_read"], contexts);
    let sheets = shown["sheets"].as_array().unwrap();
    let stages = sheets.iter().find(|sheet| sheet["title"] == "Time and tokens by stage").unwrap();
    let row =
        stages["rows"].as_array().unwrap().iter().find(|row| row[0] == "2" && row[1] == "search");
    assert_eq!(row.unwrap()[4], searched["tokens_read"].to_string());
    let probe = summary("probe");
    let steps = &chart("Distinct steps sampled at a node (probe)")["lines"][0]["points"][2];
    assert_eq!(steps, &json!([2.0, probe["steps"]["distinct"], null, null]));
    let trained = summary("train");
    let curve = chart("Learning curve")["lines"][0]["points"].as_array().unwrap();
    assert_eq!(
        curve.last().unwrap()[1],
        trained["curve"].as_array().unwrap().last().unwrap()["loss"]
    );
    // Four problems after three rounds, the rounds of one side by side.
    let trees = shown["trees"].as_array().unwrap();
    assert_eq!(trees.len(), 12);
    assert!(trees[..3].iter().all(|tree| tree["problem"] == trees[0]["problem"]));
    assert_eq!(trees[1]["source"], "round 1");
    assert!(shown["texts"][0]["text"].as_str().unwrap().contains("[rounds.probe]"));
    assert!(shown["sheets"][1]["title"].as_str().unwrap().contains("Round 2 against round 1"));

    let Some(mut browser) = Browser::start() else { return };
    browser.open(&address(&page));
    let script = "
        const lines = document.querySelectorAll('.charts figure:first-child polyline').length;
        document.querySelector('.charts .key').click();
        const fewer = document.querySelectorAll('.charts figure:first-child polyline').length;
        document.querySelector('.mark').dispatchEvent(new Event('focus'));
        const tip = document.querySelector('.tip').value;
        [...document.querySelectorAll('.bar button')].find((it) => it.textContent.startsWith('Two')).click();
        await rest();
        const svg = document.querySelector('.view svg');
        svg.dispatchEvent(new KeyboardEvent('keydown', { key: 'ArrowRight' }));
        await rest();
        return { lines, fewer, tip, panes: document.querySelectorAll('.pane').length,
          charts: document.querySelectorAll('figure').length, tables: document.querySelectorAll('figure table').length,
          nodes: document.querySelectorAll('.node').length, fact: document.querySelector('.facts dt').textContent,
          chosen: document.querySelectorAll('.node.chosen').length };";
    let drawn = browser.run(script);
    let lines = chart("Problems answered right")["lines"].as_array().unwrap().len();
    assert_eq!((&drawn["lines"], &drawn["fewer"]), (&json!(lines), &json!(lines - 1)));
    assert!(drawn["tip"].as_str().unwrap().contains("at round 0"), "{drawn}");
    assert_eq!((&drawn["panes"], &drawn["fact"]), (&json!(2), &json!("step")), "{drawn}");
    assert_eq!(drawn["charts"], drawn["tables"]);
    assert!(drawn["nodes"].as_u64().unwrap() > 4 && drawn["chosen"] == 2, "{drawn}");
}

#[test]
fn runs_of_other_recipes_stand_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let [one, other] = ["one", "other"].map(|name| folder.path().join(name));
    let [one, other] =
        [(one, "search.c_puct=1"), (other, "search.c_puct=3")].map(|(place, setting)| {
            fs::create_dir(&place).unwrap();
            let run_dir = tiny_run(&place, &["rounds.count=1", setting]);
            let named = place.join(if setting.ends_with('1') { "low" } else { "high" });
            fs::rename(run_dir, &named).unwrap();
            named
        });
    let page = folder.path().join("both.html");
    run(&["report", text(&one), text(&other), "--html", text(&page)]);
    let shown = data(&page);
    let labels: Vec<&str> = shown["charts"][0]["lines"]
        .as_array()
        .unwrap()
        .iter()
        .map(|line| line["label"].as_str().unwrap())
        .collect();
    assert!(labels.contains(&"low: greedy") && labels.contains(&"high: greedy"), "{labels:?}");
    let titles: Vec<&str> = shown["sheets"]
        .as_array()
        .unwrap()
        .iter()
        .map(|sheet| sheet["title"].as_str().unwrap())
        .collect();
    assert!(titles.contains(&"high against low, round 1"), "{titles:?}");
    let absent = fail(&["report", text(folder.path()), "--html", text(&page)], 2);
    assert!(absent.contains("no evaluated round"), "{absent}");
}

/// A tree of these nodes: tag, step, visits.
fn tree(nodes: &[(String, String, u64)]) -> Value {
    let react: serde_json::Map<String, Value> = nodes
        .iter()
        .map(|(tag, step, visits)| {
            let node = json!({"action": step, "observation": "<b>", "text": format!("{step}<b>"), "value": 0.5, "q_value": 0.25,
                "prior": 0.5, "visit_count": visits, "tokens": 3, "terminal": null, "correct": null});
            (tag.clone(), node)
        })
        .collect();
    json!({"schema": "espalier.tree/2", "problem": "p", "question": "q </script>", "answer": "8", "seed": 1, "simulations": 3,
        "stop": "exhausted", "ground_truth": true, "tokens": 9, "evaluations": 3, "collisions": 0, "react": react})
}

#[test]
fn what_a_model_writes_is_shown_as_text_at_any_depth() {
    let folder = tempfile::tempdir().unwrap();
    let [file, page] = ["trees.jsonl", "page.html"].map(|name| folder.path().join(name));
    let hostile = "</script><!-- <script><img src=x onerror=\"document.title='owned'\">".to_owned();
    let mut nodes =
        vec![("0".to_owned(), "q".to_owned(), 9), ("0.0".to_owned(), hostile.clone(), 8)];
    for depth in 2..600 {
        nodes.push((format!("{}.0", nodes[depth - 1].0), format!("step {depth}"), 7));
    }
    fs::write(&file, tree(&nodes).to_string() + "\n").unwrap();
    run(&["inspect", "tree", text(&file), "--html", text(&page)]);
    assert_eq!(data(&page)["trees"][0]["nodes"]["action"][1], hostile);
    let refused = fail(&["inspect", "tree", text(&file), "--html", text(&file)], 2);
    assert!(refused.contains("--html"), "{refused}");

    let Some(mut browser) = Browser::start() else { return };
    browser.open(&address(&page));
    let script = "
        const svg = document.querySelector('.view svg');
        const press = (key) => svg.dispatchEvent(new KeyboardEvent('keydown', { key }));
        press('ArrowRight');
        const step = document.querySelector('.facts dd').textContent;
        for (let depth = 0; depth < 1300; depth++) press('ArrowRight');
        await rest();
        return { step, title: document.title, last: document.querySelector('.facts dd').textContent,
          images: document.images.length, drawn: document.querySelectorAll('.node').length };";
    let drawn = browser.run(script);
    assert_eq!((&drawn["step"], &drawn["images"]), (&json!(hostile), &json!(0)));
    assert_eq!(drawn["last"], "step 599");
    assert!(!drawn["title"].as_str().unwrap().contains("owned"), "{drawn}");
    assert!((1..600).contains(&drawn["drawn"].as_u64().unwrap()), "{drawn}");
}

#[test]
fn a_tree_is_stepped_through_as_it_grew() {
    let folder = tempfile::tempdir().unwrap();
    let [file, page] = ["trees.jsonl", "page.html"].map(|name| folder.path().join(name));
    // Two children, the second of them a wrong answer; then a right answer below the first.
    let node = |visits: u64, q: f64, value: f64, end: Value| {
        json!({"action": "s", "observation": "", "text": "s", "value": value, "q_value": q, "prior": 0.5, "visit_count": visits,
            "tokens": 1, "terminal": end})
    };
    let line = |order: Value| {
        json!({"schema": "espalier.tree/2", "problem": "p", "question": "q", "answer": "8", "seed": 1, "simulations": 2, "stop": "simulations",
            "ground_truth": true, "tokens": 3, "evaluations": 2, "collisions": 0, "order": order,
            "react": {"0": node(4, 0.15, 0.2, Value::Null), "0.0": node(2, 0.7, 0.4, Value::Null),
                "0.1": node(1, -1.0, -1.0, json!({"answer": "7"})), "0.0.0": node(1, 1.0, 1.0, json!({"answer": "8"}))}})
    };
    let order = json!([
        {"node": "0", "children": 2, "values": 2, "value_sum": -0.8},
        {"node": "0.0", "children": 1, "values": 2, "value_sum": 1.4},
    ]);
    fs::write(&file, line(order).to_string() + "\n").unwrap();
    run(&["inspect", "tree", text(&file), "--html", text(&page)]);
    // Outlines put each node before its children.
    assert_eq!(data(&page)["trees"][0]["order"], json!([[0, 2, 2, -0.8], [1, 1, 2, 1.4]]));
    let absent = json!([{"node": "0.1", "children": 1, "values": 1, "value_sum": 1.0}]);
    let damaged = folder.path().join("damaged.jsonl");
    fs::write(&damaged, line(absent).to_string() + "\n").unwrap();
    let refused = fail(&["inspect", "tree", text(&damaged), "--html", text(&page)], 3);
    assert!(refused.contains("simulation 1 gives node \"0.1\" 1 children"), "{refused}");

    let Some(mut browser) = Browser::start() else { return };
    browser.open(&address(&page));
    let mut press = |name: &str| {
        browser.run(&format!("
        document.querySelector('[aria-label=\"one simulation {name}\"]').click();
        await rest();
        const facts = [...document.querySelectorAll('.facts dt')].map((name) => [name.textContent, name.nextSibling.textContent]);
        const {{ 'visits N': visits, Q }} = Object.fromEntries(facts);
        return [document.querySelectorAll('.node').length, visits, Q, document.querySelectorAll('.edge.now').length];"))
    };
    let seen = ["back", "back", "on", "on"].map(&mut press);
    // Nodes that are there, N and Q of the node that was expanded, and branches on the way to it.
    assert_eq!(
        json!(seen),
        json!([[3, "2", "-0.4", 0], [1, "0", "0", 0], [3, "2", "-0.4", 0], [4, "2", "0.7", 1]])
    );
    let words = browser.run("return document.querySelector('.steps [role=status]').textContent;");
    assert_eq!(words, "simulation 2 of 2 expands “s”: 1 new step, 2 values up, mean 0.7");
}
