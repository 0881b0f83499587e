//! Wallet files: what opens them, what does not, and what is left on disk.
use magicwave::stellar::keys::SecretSeed;
use magicwave::wallet::passphrase::Passphrase;
use magicwave::wallet::sealed::{self, Cost};
use magicwave::wallet::secret::Secret;
use magicwave::wallet::sep5::Phrase;
use magicwave::wallet::{self, ACCOUNT, ESCROW, Wallet};
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use zeroize::Zeroizing;

/// The least that Argon2 does: what is tried here is the form of the file.
const CHEAP: Cost = Cost { memory_kib: 8, passes: 1, lanes: 1 };
const WORDS: &str = "illness spike retreat truth genius clock brain pass fit cave bargain toe";

fn passphrase(text: &str) -> Passphrase {
    Passphrase::new(Zeroizing::new(text.to_owned())).expect("a passphrase")
}

fn words() -> Secret {
    Secret::parse(WORDS).expect("words")
}

fn mode(path: &Path, mode: u32) {
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("mode");
}

fn sealed_file() -> String {
    sealed::seal(&words(), &passphrase("correct horse"), &CHEAP, &[7; 40]).expect("sealed")
}

#[test]
fn a_wallet_of_words_has_the_account_of_sep_5_and_other_keys_that_do_not_follow_from_it() {
    let wallet = Wallet::of(&words());
    assert_eq!(wallet.account_id(), "GDRXE2BQUC3AZNPVFSCEZ76NJ3WWL25FYFK6RGZGIEKWE4SOOHSUJUJ6");
    assert_eq!(wallet.derive(ACCOUNT, b"").public(), wallet.account());
    let of_account = Wallet::new(wallet.account_key());
    assert_ne!(wallet.derive(ESCROW, b"1").public(), of_account.derive(ESCROW, b"1").public());
    assert_ne!(wallet.derive(ESCROW, b"1").public(), wallet.derive(ESCROW, b"2").public());
    // Written down, so that a wallet restored in years finds its escrows: these may never change.
    assert_eq!(
        hex::encode(wallet.derive(ESCROW, b"1").public()),
        "13d230b051406eb5646401fc7e93618a5cc199be53c5b47702c578476b9667b3"
    );
    let old = Wallet::new(SecretSeed::from_bytes(&[5; 32]));
    assert_eq!(old.account_id(), "GD6MMLD3O5XA7VFZRSQO5CJ336LV2ZRHZALNC6NWPMC2X5UO2IP4LEJC");
    assert_eq!(
        hex::encode(old.derive(ESCROW, b"1").public()),
        "be40177e3360e9a8e897ae0821990c008c5c49ef799c1e4d5db8b3fe0926cead"
    );
    assert_eq!(
        format!("{wallet:?} {:?} {:?}", words(), passphrase("x")),
        "Wallet([…]) Phrase(Phrase([…])) Passphrase([…])"
    );
}

#[test]
fn every_kind_of_file_is_read_back_and_is_its_owners_alone() {
    let home = tempfile::tempdir().expect("directory");
    let pass = passphrase("correct horse");
    let seed = Secret::Seed(SecretSeed::from_bytes(&[5; 32]));
    for (name, secret, sealed) in
        [("a", words(), false), ("b", words(), true), ("c", seed.clone(), false), ("d", seed, true)]
    {
        let path = home.path().join(name);
        wallet::create(&path, &secret, sealed.then_some((&pass, &CHEAP))).expect("made");
        assert_eq!(fs::metadata(&path).expect("file").permissions().mode() & 0o777, 0o600);
        assert_eq!(wallet::is_sealed(&path).expect("read"), sealed);
        let account = Wallet::of(&secret).account();
        assert_eq!(Wallet::open(&path, Some(&pass)).expect("opened").account(), account);
        let text = fs::read_to_string(&path).expect("text");
        if sealed {
            assert!(!text.contains("illness") && !text.contains(&*secret.expose()));
            assert_eq!(Wallet::load(&path).expect_err("sealed").code, "MW-WALLET-6");
            assert_eq!(Wallet::open(&path, Some(&passphrase("correct hors"))).expect_err("other").code, "MW-WALLET-7");
        } else {
            assert_eq!(Wallet::load(&path).expect("plain").account(), account);
        }
        let error = wallet::create(&path, &words(), None).expect_err("there already");
        assert_eq!(error.code, "MW-WALLET-11");
        assert_eq!(fs::read_to_string(&path).expect("text"), text, "left alone");
        for open in [0o640, 0o604, 0o620, 0o666] {
            mode(&path, open);
            assert_eq!(Wallet::open(&path, Some(&pass)).expect_err("open to others").code, "MW-WALLET-2");
        }
    }
    assert_eq!(fs::read_dir(home.path()).expect("directory").count(), 4, "no drafts stay behind");
}

#[test]
fn a_file_of_the_default_cost_opens_and_says_what_it_costs() {
    let pass = passphrase("correct horse");
    let file = sealed::seal(&words(), &pass, &Cost::default(), &[1; 40]).expect("sealed");
    assert!(file.starts_with("magicwave-wallet 1\nkdf argon2id 65536 3 4\n"), "{file}");
    assert_eq!(*sealed::open(file.as_bytes(), &pass).expect("opened").expose(), WORDS);
}

#[test]
fn a_sealed_file_of_today_opens_with_every_later_version() {
    assert_eq!(sealed_file(), include_str!("../vectors/wallet/sealed-1.txt"));
}

#[test]
fn a_file_that_asks_for_too_much_is_refused_before_it_gets_it() {
    let pass = passphrase("correct horse");
    for cost in [
        "1048577 1 1",
        "8 17 1",
        "1024 1 17",
        "0 1 1",
        "8 0 1",
        "8 1 0",
        "4294967295 1 1",
        "8 1",
        "8 1 1 1",
        "-8 1 1",
        "x",
    ] {
        let file = with_check(&sealed_file().replace("argon2id 8 1 1", &format!("argon2id {cost}")));
        assert_eq!(sealed::open(file.as_bytes(), &pass).expect_err(cost).code, "MW-WALLET-8");
    }
    for (from, to) in [("wallet 1", "wallet 2"), ("xchacha20", "xchacha21"), ("argon2id", "scrypt"), ("salt ", "salz ")]
    {
        let file = with_check(&sealed_file().replace(from, to));
        assert_eq!(sealed::open(file.as_bytes(), &pass).expect_err(to).code, "MW-WALLET-8");
    }
}

/// The file with a check that fits, as one would make who changes it on purpose.
fn with_check(file: &str) -> String {
    use sha2::Digest;
    let (body, _) = file.rsplit_once("check ").expect("a check");
    format!("{body}check {}\n", hex::encode(&sha2::Sha256::digest(body.as_bytes())[..8]))
}

#[test]
fn a_cheaper_derivation_cannot_be_slipped_in() {
    let file = with_check(&sealed_file().replace("argon2id 8 1 1", "argon2id 9 1 1"));
    assert_eq!(sealed::open(file.as_bytes(), &passphrase("correct horse")).expect_err("changed").code, "MW-WALLET-7");
}

#[test]
fn the_passphrase_file_is_its_owners_alone_and_its_first_line_counts() {
    let home = tempfile::tempdir().expect("directory");
    let path = home.path().join("passphrase");
    assert_eq!(Passphrase::read(&path).expect_err("missing").code, "MW-WALLET-9");
    for (text, same) in [
        ("correct horse", true),
        ("correct horse\n", true),
        ("correct horse\r\nmore\n", true),
        ("correct horse \n", false),
    ] {
        fs::write(&path, text).expect("written");
        mode(&path, 0o600);
        assert_eq!(Passphrase::read(&path).expect("read") == passphrase("correct horse"), same, "{text:?}");
    }
    for open in [0o640, 0o644, 0o602] {
        mode(&path, open);
        assert_eq!(Passphrase::read(&path).expect_err("open to others").code, "MW-WALLET-9");
    }
    mode(&path, 0o600);
    for (text, code) in [("", "MW-WALLET-12"), ("\nx", "MW-WALLET-12"), (&*"x".repeat(2_000), "MW-WALLET-9")] {
        fs::write(&path, text).expect("written");
        assert_eq!(Passphrase::read(&path).expect_err("none").code, code, "{text:?}");
    }
    assert_eq!(passphrase("seven c").check_new().expect_err("short").code, "MW-WALLET-12");
    assert!(passphrase("acht Öhr").check_new().is_ok());
}

#[test]
fn a_node_opens_its_wallet_with_the_configured_passphrase_file() {
    let home = tempfile::tempdir().expect("directory");
    let (seed, plain, pass) = (home.path().join("seed"), home.path().join("plain"), home.path().join("pass"));
    wallet::create(&seed, &words(), Some((&passphrase("correct horse"), &CHEAP))).expect("made");
    wallet::create(&plain, &words(), None).expect("made");
    fs::write(&pass, "correct horse\n").expect("written");
    mode(&pass, 0o600);
    let account = Wallet::of(&words()).account();
    assert_eq!(Wallet::open_configured(&seed, Some(&pass)).expect("opened").account(), account);
    assert_eq!(Wallet::open_configured(&plain, None).expect("opened").account(), account);
    // A file without a passphrase needs none, even where one is configured.
    fs::remove_file(&pass).expect("removed");
    assert_eq!(Wallet::open_configured(&plain, Some(&pass)).expect("opened").account(), account);
    assert_eq!(Wallet::open_configured(&seed, Some(&pass)).expect_err("missing").code, "MW-WALLET-9");
    assert_eq!(Wallet::open_configured(&seed, None).expect_err("sealed").code, "MW-WALLET-6");
}

#[test]
fn words_are_written_to_a_file_and_read_from_one() {
    let home = tempfile::tempdir().expect("directory");
    let path = home.path().join("words");
    wallet::write_words(&path, &words()).expect("written");
    assert_eq!(fs::read_to_string(&path).expect("text"), format!("{WORDS}\n"));
    assert_eq!(*wallet::read_words(&path).expect("read").expose(), WORDS);
    assert_eq!(wallet::write_words(&path, &words()).expect_err("there").code, "MW-WALLET-11");
    mode(&path, 0o644);
    assert_eq!(wallet::read_words(&path).expect_err("open to others").code, "MW-WALLET-14");
}

#[test]
fn a_draft_that_a_crash_left_behind_hurts_nobody() {
    let home = tempfile::tempdir().expect("directory");
    fs::write(home.path().join("seed.0011223344556677.new"), "half").expect("written");
    let path = home.path().join("seed");
    wallet::create(&path, &words(), None).expect("made");
    assert_eq!(Wallet::load(&path).expect("read").account(), Wallet::of(&words()).account());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn what_was_sealed_opens_with_its_passphrase_and_with_no_other(
        entropy: [u8; 32], fresh in proptest::array::uniform32(any::<u8>()), text in "\\PC{1,40}", other in "\\PC{1,40}"
    ) {
        let secret = Secret::Phrase(Phrase::from_entropy(&entropy).expect("words"));
        let mut forty = [3; 40];
        forty[..32].copy_from_slice(&fresh);
        let file = sealed::seal(&secret, &passphrase(&text), &CHEAP, &forty).expect("sealed");
        prop_assert!(file.len() <= sealed::MAX_FILE);
        prop_assert_eq!(sealed::open(file.as_bytes(), &passphrase(&text)).expect("opened").expose(), secret.expose());
        if other != text {
            prop_assert_eq!(sealed::open(file.as_bytes(), &passphrase(&other)).expect_err("other").code, "MW-WALLET-7");
        }
    }

    #[test]
    fn a_changed_byte_never_opens_and_never_panics(place in 0usize..900, with: u8, fits: bool) {
        let file = sealed_file().into_bytes();
        let mut changed = file.clone();
        let at = place % changed.len();
        changed[at] = with;
        if fits && let Ok(text) = std::str::from_utf8(&changed) && text.contains("check ") {
            changed = with_check(text).into_bytes();
        }
        // A cost is bounded but may be dear: these are slips, not attacks on the machine that runs the test.
        let dear = |text: &str| text.lines().any(|line| line.starts_with("kdf ") && line.len() > "kdf argon2id 8 1 1".len());
        prop_assume!(!std::str::from_utf8(&changed).is_ok_and(dear));
        match sealed::open(&changed, &passphrase("correct horse")) {
            Ok(secret) => {
                prop_assert!(changed.trim_ascii_end() == file.trim_ascii_end() && *secret.expose() == WORDS);
            }
            Err(error) => prop_assert!(["MW-WALLET-7", "MW-WALLET-8"].contains(&error.code)),
        }
    }

    #[test]
    fn whatever_a_file_holds_it_is_refused_with_a_code(bytes in proptest::collection::vec(any::<u8>(), 0..1_200), sealed: bool) {
        let mut file = if sealed { b"magicwave-wallet 1\n".to_vec() } else { Vec::new() };
        file.extend(&bytes);
        prop_assert_eq!(sealed::open(&file, &passphrase("x")).expect_err("garbage").code, "MW-WALLET-8");
        let text = String::from_utf8_lossy(&file);
        prop_assert!(["MW-WALLET-4", "MW-WALLET-10"].contains(&Secret::parse(&text).expect_err("garbage").code));
    }

    #[test]
    fn a_file_cut_short_never_opens(length in 0usize..900) {
        let file = sealed_file();
        let cut = &file[..length.min(file.trim_end().len() - 1)];
        prop_assert_eq!(sealed::open(cut.as_bytes(), &passphrase("correct horse")).expect_err("cut").code, "MW-WALLET-8");
    }
}
