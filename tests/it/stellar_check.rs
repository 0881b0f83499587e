//! What a payee refuses to trust, each refusal by its own code.
use magicwave::gateway::port::{AccountView, TrustlineView};
use magicwave::stellar::asset::Asset;
use magicwave::stellar::escrow_check::{check, check_at, check_destination, check_issuer};
use magicwave::stellar::keys::{SecretSeed, account_id};
use magicwave::stellar::network::NetworkId;
use magicwave::stellar::template::{EscrowTerms, ops};
use magicwave::units::Stroops;

#[test]
fn an_escrow_as_agreed_is_trusted() {
    for asset in [credit(), Asset::Native] {
        let (view, terms) = good(asset);
        check(&view, &terms).expect("as agreed");
    }
    let (mut view, terms) = good(credit());
    view.trustlines[0].balance += 1; // anybody may send a stroop
    view.native = 1;
    check(&view, &terms).expect("more than agreed");
    view.signers.reverse();
    check(&view, &terms).expect("in any order");
}

#[test]
fn an_escrow_of_which_claims_landed_is_checked_against_what_is_left() {
    let (mut view, terms) = good(credit());
    view.sequence = terms.claim_sequence(4).expect("an epoch");
    view.trustlines[0].balance -= 300;
    let left = Stroops::new(700).expect("in range");
    check_at(&view, &terms, view.sequence, left).expect("as it should be");
    assert_eq!(code(check(&view, &terms)), "MW-ESC-2");
    view.trustlines[0].balance -= 1;
    assert_eq!(code(check_at(&view, &terms, view.sequence, left)), "MW-ESC-14");
}

#[test]
fn another_account_is_refused() {
    refuses("MW-ESC-1", |view| view.account = [9; 32]);
}

#[test]
fn a_sequence_number_that_is_off_by_one_is_refused() {
    refuses("MW-ESC-2", |view| view.sequence += 1);
    refuses("MW-ESC-2", |view| view.sequence -= 1);
    refuses("MW-ESC-2", |view| view.sequence = i64::MAX);
}

#[test]
fn a_clock_that_never_started_is_refused() {
    refuses("MW-ESC-3", |view| view.sequence_time = 0);
    refuses("MW-ESC-3", |view| view.sequence_ledger = 0);
}

#[test]
fn other_thresholds_than_two_of_two_are_refused() {
    for place in 0..3 {
        refuses("MW-ESC-4", |view| view.thresholds[place] = 1);
        refuses("MW-ESC-4", |view| view.thresholds[place] = 3);
    }
}

#[test]
fn other_signers_or_weights_are_refused() {
    refuses("MW-ESC-5", |view| view.signers.push((account_id(&[9; 32]), 1)));
    refuses("MW-ESC-5", |view| {
        view.signers.push(("XB75QQDMIMWOXE2J33WCEP4PEGXIKMYS4QVMNW4DCTZCRKDJOBMQL4AP".into(), 1))
    });
    refuses("MW-ESC-5", |view| view.signers.retain(|(key, _)| *key != account_id(&key_of(2))));
    refuses("MW-ESC-5", |view| view.signers[0].1 = 2);
    refuses("MW-ESC-5", |view| view.signers[1].1 = 0);
    refuses("MW-ESC-5", |view| view.signers[1] = view.signers[0].clone());
}

#[test]
fn an_escrow_whose_own_key_still_signs_is_refused() {
    refuses("MW-ESC-6", |view| view.signers[2].1 = 1);
    refuses("MW-ESC-6", |view| drop(view.signers.remove(2)));
    refuses("MW-ESC-6", |view| view.signers.push((account_id(&key_of(3)), 0)));
}

#[test]
fn further_entries_are_refused() {
    refuses("MW-ESC-7", |view| view.subentries += 1);
    refuses("MW-ESC-7", |view| view.subentries -= 1);
    let (mut view, terms) = good(Asset::Native);
    view.subentries = 3;
    assert_eq!(code(check(&view, &terms)), "MW-ESC-7");
}

#[test]
fn liabilities_are_refused() {
    refuses("MW-ESC-8", |view| view.liabilities = 1);
}

#[test]
fn data_entries_are_refused() {
    refuses("MW-ESC-9", |view| view.data_entries = 1);
}

#[test]
fn sponsoring_others_is_refused() {
    refuses("MW-ESC-10", |view| view.sponsoring = 1);
}

#[test]
fn another_trustline_is_refused() {
    refuses("MW-ESC-11", |view| view.trustlines[0].code = "MWX".into());
    refuses("MW-ESC-11", |view| view.trustlines[0].issuer = [9; 32]);
    refuses("MW-ESC-11", |view| view.trustlines.clear());
    refuses("MW-ESC-11", |view| view.trustlines.push(view.trustlines[0].clone()));
    let (mut view, terms) = good(Asset::Native);
    view.trustlines = good(credit()).0.trustlines;
    assert_eq!(code(check(&view, &terms)), "MW-ESC-11");
}

#[test]
fn a_trustline_that_is_not_authorised_is_refused() {
    refuses("MW-ESC-12", |view| view.trustlines[0].authorized = false);
}

#[test]
fn a_trustline_with_clawback_is_refused() {
    refuses("MW-ESC-13", |view| view.trustlines[0].clawback = true);
}

#[test]
fn a_short_deposit_is_refused() {
    refuses("MW-ESC-14", |view| view.trustlines[0].balance -= 1);
    let (mut view, terms) = good(Asset::Native);
    view.native -= 1;
    assert_eq!(code(check(&view, &terms)), "MW-ESC-14");
}

#[test]
fn terms_that_are_no_escrow_are_refused_before_anything_is_compared() {
    let (view, terms) = good(credit());
    assert_eq!(code(check(&view, &EscrowTerms { period_secs: 0, ..terms })), "MW-TERMS-4");
}

#[test]
fn a_payee_that_cannot_take_the_claim_is_noticed_before_the_flush() {
    let (_, terms) = good(credit());
    let mut payee = AccountView { account: terms.payee_account, ..AccountView::default() };
    let amount = Stroops::new(10).expect("in range");
    assert_eq!(code(check_destination(&payee, &terms, amount)), "MW-ESC-21");
    let Asset::Credit(asset) = terms.asset else { panic!("native") };
    let line = TrustlineView {
        code: asset.code().into(),
        issuer: *asset.issuer(),
        balance: 90,
        limit: 100,
        authorized: true,
        clawback: false,
    };
    payee.trustlines.push(line);
    check_destination(&payee, &terms, amount).expect("room for ten");
    payee.trustlines[0].balance += 1;
    assert_eq!(code(check_destination(&payee, &terms, amount)), "MW-ESC-23");
    payee.trustlines[0].authorized = false;
    assert_eq!(code(check_destination(&payee, &terms, amount)), "MW-ESC-22");
    payee.account = [9; 32];
    assert_eq!(code(check_destination(&payee, &terms, amount)), "MW-ESC-20");
    let native = EscrowTerms { asset: Asset::Native, ..terms };
    let bare = AccountView { account: terms.payee_account, ..AccountView::default() };
    check_destination(&bare, &native, amount).expect("native always fits");
}

#[test]
fn an_issuer_that_can_take_back_is_refused() {
    check_issuer(ops::AUTH_IMMUTABLE).expect("fixed");
    check_issuer(ops::AUTH_IMMUTABLE | ops::AUTH_REQUIRED).expect("fixed");
    for flags in [0, ops::AUTH_IMMUTABLE | ops::AUTH_REVOCABLE, ops::AUTH_IMMUTABLE | ops::AUTH_CLAWBACK_ENABLED] {
        assert_eq!(code(check_issuer(flags)), "MW-ESC-30");
    }
}

fn refuses(expected: &str, spoil: impl Fn(&mut AccountView)) {
    let (mut view, terms) = good(credit());
    spoil(&mut view);
    assert_eq!(code(check(&view, &terms)), expected);
}

fn code(result: magicwave::error::Result<()>) -> &'static str {
    result.expect_err("refused").code
}

fn key_of(byte: u8) -> [u8; 32] {
    SecretSeed::from_bytes(&[byte; 32]).public()
}

fn credit() -> Asset {
    Asset::credit("MWT", key_of(6)).expect("valid")
}

fn good(asset: Asset) -> (AccountView, EscrowTerms) {
    let terms = EscrowTerms {
        network: NetworkId::of("a network of a test"),
        asset,
        escrow: key_of(3),
        payer_signer: key_of(1),
        payer_account: key_of(4),
        payee_signer: key_of(2),
        payee_account: key_of(5),
        created_ledger: 40,
        deposit: Stroops::new(if asset == Asset::Native { 100_000_000 } else { 1000 }).expect("in range"),
        period_secs: 60,
    };
    let mut view = AccountView {
        account: terms.escrow,
        sequence: (40 << 32) + 1,
        sequence_ledger: 42,
        sequence_time: 1_800_000_000,
        native: 0,
        subentries: 3,
        sponsored: 5,
        thresholds: [2; 3],
        signers: vec![
            (account_id(&terms.payer_signer), 1),
            (account_id(&terms.payee_signer), 1),
            (account_id(&terms.escrow), 0),
        ],
        latest_ledger: 43,
        ..AccountView::default()
    };
    match asset {
        Asset::Native => {
            view.subentries = 2;
            view.sponsored = 4;
            view.native = terms.deposit.as_i64();
        }
        Asset::Credit(credit) => view.trustlines.push(TrustlineView {
            code: credit.code().into(),
            issuer: *credit.issuer(),
            balance: terms.deposit.as_i64(),
            limit: i64::MAX,
            authorized: true,
            clawback: false,
        }),
    }
    (view, terms)
}
