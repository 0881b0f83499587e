//! Words, seeds and keys against the figures that SEP-5 publishes.
use magicwave::stellar::keys::account_id;
use magicwave::wallet::Wallet;
use magicwave::wallet::secret::Secret;
use magicwave::wallet::sep5::{self, Phrase};
use serde_json::Value;

fn vectors() -> Vec<Value> {
    let text = include_str!("../vectors/wallet/sep-0005.json");
    let all: Value = serde_json::from_str(text).expect("json");
    all["tests"].as_array().expect("tests").clone()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().expect("text")
}

#[test]
fn words_lead_to_the_seeds_and_keys_that_sep_5_publishes() {
    assert_eq!(vectors().len(), 5);
    for test in vectors() {
        let phrase = Phrase::parse(text(&test, "words")).expect("words");
        assert_eq!(*phrase.expose(), text(&test, "words"));
        let seed = phrase.seed(text(&test, "password"));
        assert_eq!(hex::encode(*seed), text(&test, "seed"));
        assert_eq!(hex::encode(*sep5::derive(&seed, &[44, 148])), text(&test, "parent"));
        for key in test["keys"].as_array().expect("keys") {
            let account = u32::try_from(key[0].as_u64().expect("a number")).expect("small");
            let derived = sep5::account(&seed, account);
            assert_eq!(account_id(&derived.public()), key[1].as_str().expect("G…"));
            assert_eq!(*derived.expose(), key[2].as_str().expect("S…"));
        }
    }
}

#[test]
fn a_wallet_of_words_has_the_accounts_that_sep_5_publishes() {
    for test in vectors().into_iter().filter(|test| text(test, "password").is_empty()) {
        let wallet = Wallet::of(&Secret::Phrase(Phrase::parse(text(&test, "words")).expect("words")));
        for key in test["keys"].as_array().expect("keys") {
            let number = u8::try_from(key[0].as_u64().expect("a number")).expect("small");
            let account = wallet.clone().numbered(number).expect("it has as many").account_id();
            assert_eq!(account, key[1].as_str().expect("G…"));
            assert_eq!(account, account_id(&wallet.account_keys()[usize::from(number)].public()));
        }
        assert_eq!(wallet.numbered(16).expect_err("no more").code, "MW-WALLET-41");
    }
}

#[test]
fn words_are_read_however_they_are_written_and_wrong_ones_are_refused_by_place() {
    let words = "illness spike retreat truth genius clock brain pass fit cave bargain toe";
    let spaced = format!("\n  {} \r\n", words.to_uppercase().replace(' ', "\t\n "));
    assert_eq!(*Phrase::parse(&spaced).expect("words").expose(), words);
    for (wrong, says) in [
        (words.replace("toe", "toast"), "not in this order"),
        (words.replace("fit cave", "cave fit"), "not in this order"),
        (words.replace("genius", "genies"), "word 5 is not in the list"),
        (words.replace(" toe", ""), "11 words"),
        (format!("{words} toe"), "13 words"),
        (String::new(), "0 words"),
        (words.replace("toe", "töe"), "word 12"),
        ("abandon ".repeat(2_000), "2000 words"),
    ] {
        let error = Phrase::parse(&wrong).expect_err("wrong");
        assert_eq!(error.code, "MW-WALLET-10");
        assert!(error.text.contains(says), "{error}");
        assert!(!error.text.contains("illness") && !error.text.contains("genies"), "{error}");
    }
}

#[test]
fn fresh_words_are_twenty_four_and_never_twice_the_same() {
    let words = |secret| match secret {
        magicwave::wallet::secret::Secret::Phrase(phrase) => phrase.expose().to_string(),
        magicwave::wallet::secret::Secret::Seed(_) => panic!("a seed"),
    };
    let one = words(magicwave::wallet::fresh().expect("random"));
    assert_eq!(one.split(' ').count(), 24);
    assert_ne!(one, words(magicwave::wallet::fresh().expect("random")));
    // All zero and all one entropy, the ends of the range.
    let zero = Phrase::from_entropy(&[0; 32]).expect("words").expose();
    assert!(zero.starts_with("abandon abandon ") && zero.ends_with(" art"));
    assert!(Phrase::from_entropy(&[255; 32]).expect("words").expose().ends_with(" vote"));
}
