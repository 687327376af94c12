use espalier_fixtures::fixtures::folder;
use espalier_model::{Error, Tokenizer, Tokens};

#[test]
fn every_printable_text_comes_back() {
    let tokenizer = Tokenizer::fresh(Tokens::Characters).unwrap();
    let text: String = (' '..='~').chain(['\n', '\n', ' ', ' ']).collect();
    let ids = tokenizer.encode(&text).unwrap();
    assert_eq!(ids.len(), text.len());
    assert_eq!(tokenizer.decode(&ids), text);
    assert_eq!(tokenizer.vocab_size(), 95 + 1 + 2);
    assert!(ids.iter().all(|&id| (id as usize) < tokenizer.vocab_size()));
}

#[test]
fn an_unknown_character_is_named_with_its_position() {
    let tokenizer = Tokenizer::fresh(Tokens::Characters).unwrap();
    // Positions count characters, not bytes.
    assert!(matches!(
        tokenizer.encode("abé"),
        Err(Error::UnknownCharacter { character: 'é', position: 2 })
    ));
    let message = tokenizer.encode("\t").unwrap_err().to_string();
    assert!(message.contains(r"'\t'"), "{message}");
}

#[test]
fn special_tokens_are_not_made_from_text_and_have_none() {
    let tokenizer = Tokenizer::fresh(Tokens::Characters).unwrap();
    let (pad, eos) = (tokenizer.pad().unwrap(), tokenizer.eos().unwrap());
    assert_eq!((pad, eos), (0, 1));
    let ids = tokenizer.encode("<eos>").unwrap();
    assert_eq!(ids.len(), 5);
    assert_eq!(tokenizer.decode(&[ids[0], eos, pad, ids[1]]), "<e");
}

#[test]
fn a_saved_tokenizer_is_the_same_one() {
    let dir = tempfile::tempdir().unwrap();
    let tokenizer = Tokenizer::fresh(Tokens::Characters).unwrap();
    tokenizer.save(dir.path()).unwrap();
    let loaded = Tokenizer::load(dir.path()).unwrap();
    let text = "12 + 30 = 42\n[a~]";
    assert_eq!(loaded.encode(text).unwrap(), tokenizer.encode(text).unwrap());
    // Also that it is still known to be character-level.
    assert_eq!(format!("{loaded:?}"), format!("{tokenizer:?}"));
}

#[test]
fn the_hugging_face_library_reads_the_same_ids() {
    let dir = tempfile::tempdir().unwrap();
    let tokenizer = Tokenizer::fresh(Tokens::Characters).unwrap();
    tokenizer.save(dir.path()).unwrap();
    let library = tokenizers::Tokenizer::from_file(dir.path().join("tokenizer.json")).unwrap();
    let text = " (7 - 3) * 25 = 100\n\n{x}\n";
    let ids = library.encode(text, true).unwrap().get_ids().to_vec();
    assert_eq!(ids, tokenizer.encode(text).unwrap());
    assert_eq!(library.decode(&ids, true).unwrap(), text);
}

#[test]
fn spans_are_the_bytes_of_each_character() {
    let tokenizer = Tokenizer::fresh(Tokens::Characters).unwrap();
    let spans: Vec<_> = tokenizer.encode_with_spans("a+b\n").unwrap();
    let ids = tokenizer.encode("a+b\n").unwrap();
    assert_eq!(spans, ids.into_iter().zip([0..1, 1..2, 2..3, 3..4]).collect::<Vec<_>>());
}

#[test]
fn a_number_is_one_token_and_the_hugging_face_library_agrees() {
    let dir = tempfile::tempdir().unwrap();
    let tokenizer = Tokenizer::fresh(Tokens::Numbers).unwrap();
    tokenizer.save(dir.path()).unwrap();
    let library = tokenizers::Tokenizer::from_file(dir.path().join("tokenizer.json")).unwrap();
    let loaded = Tokenizer::load(dir.path()).unwrap();
    for (text, tokens) in [
        ("21:11 13 7\n", 8),
        ("13+19=32|11 32\n", 10),
        // A number of more than three digits goes on with another token; one that begins with 0 has none of its own.
        ("1234567", 3),
        ("007", 3),
        ("1000", 2),
        ("(12-3)*100 {a}\n\n", 13),
        ("", 0),
    ] {
        let ids = tokenizer.encode(text).unwrap();
        assert_eq!(ids.len(), tokens, "{text}");
        assert_eq!(library.encode(text, true).unwrap().get_ids(), ids, "{text}");
        assert_eq!(loaded.encode(text).unwrap(), ids, "{text}");
        assert_eq!(tokenizer.decode(&ids), text);
        let spans = tokenizer.encode_with_spans(text).unwrap();
        let texts: Vec<&str> = spans.iter().map(|(_, span)| &text[span.clone()]).collect();
        let alone: Vec<String> = ids.iter().map(|&id| tokenizer.decode(&[id])).collect();
        assert_eq!(texts, alone);
    }
    assert_eq!(format!("{loaded:?}"), format!("{tokenizer:?}"));
    assert!(matches!(
        tokenizer.encode("12é"),
        Err(Error::UnknownCharacter { character: 'é', position: 2 })
    ));
}

#[test]
fn a_damaged_tokenizer_is_an_error_with_its_path() {
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("tokenizer.json"), "{}").unwrap();
    let message = Tokenizer::load(dir.path()).unwrap_err().to_string();
    assert!(message.contains("tokenizer.json"), "{message}");
}

#[test]
fn what_is_no_json_in_a_part_of_a_tokenizer_is_an_error_and_no_panic() {
    let bytes = std::fs::read(folder("models/llama/tokenizer.json")).unwrap();
    let text = String::from_utf8(bytes).unwrap();
    let decoder = text.find("\"decoder\"").unwrap();
    for (part, damage) in [
        ("ByteLevel", "Byte\n"),
        ("\"ByteLevel\"", "1e999"),
        ("\"ByteLevel\"", "\"\\ud800\""),
        ("}", ""),
    ] {
        let damaged = text[decoder..].replacen(part, damage, 1);
        let damaged = [&text[..decoder], &damaged].concat();
        let error = Tokenizer::from_bytes(damaged.as_bytes()).unwrap_err().to_string();
        assert!(error.starts_with("tokenizer: not JSON: "), "{damage}: {error}");
    }
}

/// What the library reads and cannot work with.
#[test]
fn what_makes_the_library_panic_is_an_error() {
    let bytes = std::fs::read(folder("models/llama/tokenizer.json")).unwrap();
    let json: serde_json::Value = serde_json::from_slice(&bytes).unwrap();
    let with = |part: &str, value: serde_json::Value| {
        let mut json = json.clone();
        json[part] = value;
        Tokenizer::from_bytes(json.to_string().as_bytes())
    };
    let precompiled = serde_json::json!({"type": "Precompiled", "precompiled_charsmap": "é"});
    let error = with("normalizer", precompiled).unwrap_err().to_string();
    assert!(error.contains("cannot work with this tokenizer.json"), "{error}");
    // Strips the end of a token of which nothing is left.
    let nothing = serde_json::json!({"type": "Sequence", "decoders": [
        {"type": "Replace", "pattern": {"String": "0"}, "content": ""},
        {"type": "Strip", "content": " ", "start": 0, "stop": 1},
    ]});
    let tokenizer = with("decoder", nothing).unwrap();
    assert_eq!(tokenizer.decode(&[tokenizer.id("0").unwrap()]), "");
}

#[test]
fn spans_of_a_byte_level_tokenizer_keep_their_blanks() {
    let dir = tempfile::tempdir().unwrap();
    let source = espalier_fixtures::fixtures::folder("models/llama/tokenizer.json");
    let mut json: serde_json::Value =
        serde_json::from_slice(&std::fs::read(source).unwrap()).unwrap();
    json["post_processor"] = serde_json::json!({
        "type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": true,
    });
    std::fs::write(dir.path().join("tokenizer.json"), json.to_string()).unwrap();
    let tokenizer = Tokenizer::load(dir.path()).unwrap();
    let text = "3 + 4 = 7.\nAdd 3 and 4";
    let mut end = 0;
    for (_, span) in tokenizer.encode_with_spans(text).unwrap() {
        assert_eq!(span.start, end, "a step ends where its last token does, blanks and all");
        end = span.end;
    }
    assert_eq!(end, text.len());
}
