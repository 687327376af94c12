//! Chat templates against texts that `transformers` rendered (`fixtures/make.py`).

use std::fs;

use espalier_model::{ChatTemplate, Checkpoint, Error, Message, Tokenizer};

use espalier_fixtures::fixtures::folder;

fn messages(turns: &[(&str, &str)]) -> Vec<Message> {
    let message =
        |&(role, content): &(&str, &str)| Message { role: role.into(), content: content.into() };
    turns.iter().map(message).collect()
}

fn special_tokens() -> [(String, String); 2] {
    [("bos_token", "<|begin|>"), ("eos_token", "<|end|>")].map(|(k, v)| (k.into(), v.into()))
}

#[test]
fn templates_render_as_in_transformers() {
    let json = fs::read(folder("chat.json")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&json).unwrap();
    let mut refused = 0;
    for case in json["cases"].as_array().unwrap() {
        let source = json["templates"][case["template"].as_str().unwrap()].as_str().unwrap();
        let template = ChatTemplate::new(source, special_tokens()).unwrap();
        let messages: Vec<Message> = serde_json::from_value(case["messages"].clone()).unwrap();
        let prompt = case["add_generation_prompt"].as_bool().unwrap();
        match (template.render(&messages, prompt), case["text"].as_str()) {
            (Ok(found), Some(expected)) => assert_eq!(found, expected, "{}", case["template"]),
            (Err(Error::ChatTemplate { message, .. }), None) => {
                assert_eq!(message, case["error"].as_str().unwrap());
                refused += 1;
            }
            other => panic!("{case}: {other:?}"),
        }
    }
    assert_eq!(refused, 2);
}

#[test]
fn a_gguf_file_brings_its_template_and_a_folder_keeps_it() {
    let dir = tempfile::tempdir().unwrap();
    let checkpoint = Checkpoint::load(&folder("gguf/llama/model.gguf")).unwrap();
    let asked = messages(&[("user", "3 + 4?")]);
    let expected = "<|im_start|>system\nYou are a helpful AI assistant named SmolLM, trained by Hugging \
        Face<|im_end|>\n<|im_start|>user\n3 + 4?<|im_end|>\n<|im_start|>assistant\n";
    let render = |checkpoint: &Checkpoint| {
        checkpoint.chat_template().unwrap().unwrap().render(&asked, true).unwrap()
    };
    assert_eq!(render(&checkpoint), expected);
    let saved = dir.path().join("net");
    checkpoint.save(&saved).unwrap();
    assert_eq!(render(&Checkpoint::load(&saved).unwrap()), expected);
}

#[test]
fn templates_are_found_where_they_have_been_kept_over_the_years() {
    let mut checkpoint = Checkpoint::load(&folder("models/llama")).unwrap();
    assert!(checkpoint.chat_template().unwrap().is_none());
    let mut rendered_with = |name: &str, content: &str| {
        checkpoint.companions.insert(name.to_owned(), content.as_bytes().to_vec());
        checkpoint.chat_template().map(|template| template.unwrap().render(&[], false).unwrap())
    };
    let mut check = |name: &str, content: &str, expected: &str| {
        assert_eq!(rendered_with(name, content).unwrap(), expected);
    };
    check("chat_template.json", r#"{"chat_template": "json"}"#, "json");
    check("tokenizer_config.json", r#"{"chat_template": "config"}"#, "config");
    check(
        "tokenizer_config.json",
        r#"{"bos_token": {"content": "<s>"}, "chat_template": [{"name": "tool_use", "template": "no"},
            {"name": "default", "template": "{{ bos_token }}list"}]}"#,
        "<s>list",
    );
    check("chat_template.jinja", "jinja", "jinja");
    let bad = [
        ("chat_template.jinja", "{% for", "line 1"),
        ("tokenizer_config.json", "{", "tokenizer_config.json"),
    ];
    for (name, content, word) in bad {
        let message = rendered_with(name, content).unwrap_err().to_string();
        assert!(message.contains(word), "{message}");
    }
}

#[test]
fn a_rendered_text_is_encoded_without_a_second_beginning() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("tokenizer.json");
    let source = fs::read(folder("models/llama/tokenizer.json")).unwrap();
    let mut json: serde_json::Value = serde_json::from_slice(&source).unwrap();
    json["post_processor"] = serde_json::json!({
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<|pad|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<|pad|>": {"id": "<|pad|>", "ids": [1], "tokens": ["<|pad|>"]}},
    });
    fs::write(&path, json.to_string()).unwrap();
    let mut tokenizer = Tokenizer::load(dir.path()).unwrap();
    let with = tokenizer.encode("3 + 4").unwrap();
    tokenizer.set_add_special_tokens(false);
    let without = tokenizer.encode("3 + 4").unwrap();
    assert_eq!((with[0], &with[1..]), (1, &without[..]));
    // A special token in the text is one token all the same.
    assert_eq!(tokenizer.encode("<|pad|>3 + 4").unwrap(), with);
}

#[test]
fn a_template_that_begins_a_text_itself_does_not_begin_it_twice() {
    let json: serde_json::Value =
        serde_json::from_slice(&fs::read(folder("chat.json")).unwrap()).unwrap();
    let template = json["templates"]["begins-every-question"].clone();
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, content: &serde_json::Value| {
        fs::write(dir.path().join(name), content.to_string()).unwrap();
    };
    let settings = serde_json::json!({
        "bos_token": "<|pad|>", "eos_token": "<|end|>", "chat_template": template,
    });
    write("tokenizer_config.json", &settings);
    let asked = messages(&[("user", "1 + 1?"), ("assistant", "2"), ("user", "2 + 2?")]);
    let rest = "[user] 1 + 1? [answer] 2 <|end|><|pad|>[user] 2 + 2? [answer]";
    let rendered = || {
        let template = ChatTemplate::load(dir.path()).unwrap().unwrap();
        template.render(&asked, true).unwrap()
    };
    assert_eq!(rendered(), rest, "a server puts it there");
    let source = fs::read(folder("models/llama/tokenizer.json")).unwrap();
    let mut tokenizer: serde_json::Value = serde_json::from_slice(&source).unwrap();
    write("tokenizer.json", &tokenizer);
    assert_eq!(rendered(), format!("<|pad|>{rest}"), "nothing else puts it there");
    tokenizer["post_processor"] = serde_json::json!({
        "type": "TemplateProcessing",
        "single": [{"SpecialToken": {"id": "<|pad|>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
        "pair": [{"Sequence": {"id": "A", "type_id": 0}}, {"Sequence": {"id": "B", "type_id": 1}}],
        "special_tokens": {"<|pad|>": {"id": "<|pad|>", "ids": [1], "tokens": ["<|pad|>"]}},
    });
    write("tokenizer.json", &tokenizer);
    assert_eq!(rendered(), rest, "the tokenizer puts it there");
    let tokenizer = Tokenizer::load(dir.path()).unwrap();
    let ids = tokenizer.encode(&rendered()).unwrap();
    assert_eq!(ids.iter().filter(|&&id| id == 1).count(), 2);
    assert_eq!(ids[0], 1);
}
