//! The life of an escrow from its opening to its end, all through the Horizon adapter against the embedded ledger.
use magicwave::devnet::ledger::http::{Node, NodeConfig, serve};
use magicwave::gateway::core::message::AccountKey;
use magicwave::gateway::port::{AccountView, LedgerCall, LedgerResult};
use magicwave::stellar::asset::Asset;
use magicwave::stellar::escrow_check::{check, check_at, check_destination, check_issuer};
use magicwave::stellar::horizon::{Endpoint, HorizonLedger, LoopbackAddr, Submission, Timing};
use magicwave::stellar::keys::SecretSeed;
use magicwave::stellar::network::NetworkId;
use magicwave::stellar::template::{self, EscrowTerms, Signed, Source, ops};
use magicwave::units::Stroops;
use magicwave::wallet::{ACCOUNT, ESCROW, LINK_SIGNER, Wallet};
use std::time::Duration;
use tokio::net::TcpListener;

pub(crate) const PASSPHRASE: &str = "a ledger of one test";
const UNIT: u64 = 10_000_000;
/// The observation period: long enough for the claims below, short enough to wait for.
const PERIOD: u32 = 6;

#[tokio::test]
async fn an_escrow_lives_from_its_opening_to_its_end_on_the_embedded_ledger() {
    an_escrow_lives(Submission::Waiting, "MWT").await;
}

#[tokio::test]
async fn an_escrow_lives_by_asynchronous_submission_and_a_long_asset_code() {
    an_escrow_lives(Submission::Async, "MAGICWAVE").await;
}

async fn an_escrow_lives(submission: Submission, code: &str) {
    let world = World::start(submission).await;
    let (payer, payee) = (wallet(1), wallet(2));
    let asset = world.issue(code, &payer, &payee).await;
    let (terms, before) = world.open(&payer, &payee, asset).await;

    // The payee reads the ledger itself, and the issuer, before it trusts the escrow.
    let view = world.view(&terms.escrow).await;
    check(&view, &terms).expect("as agreed");
    let Asset::Credit(credit) = asset else { panic!("native") };
    check_issuer(world.ledger.issuer_flags(credit.issuer()).await.expect("read").expect("exists")).expect("fixed");

    // Of the claims of an epoch the newest is flushed, and it alone can land.
    let claims = [3, 5, 9].map(|units| world.claim(&terms, 0, units, &payer, &payee));
    let newest = world.landed(&claims[2]).await;
    assert_eq!(newest, (true, 200, "tx_success".into()));
    assert_eq!(world.rejected(&claims[1]).await, "tx_bad_seq");
    // Told twice, it is still the same one landing; both its hashes find it.
    assert_eq!(world.landed(&claims[2]).await, newest);
    let inner = template::claim(&terms, 0, units(9)).expect("valid").hash();
    for hash in [claims[2].hash(), inner] {
        let call = LedgerCall::Transaction { tag: 3, hash };
        assert!(matches!(world.ledger.call(call).await.result, LedgerResult::Landed { success: true, fee: 200, .. }));
    }
    let after = terms.claim_sequence(0).expect("first epoch");
    check_at(&world.view(&terms.escrow).await, &terms, after, units(491)).expect("491 left");

    // A payee without room sees it before its flush; the flush would fail and burn the epoch.
    world.apply(&payee, |source| template::change_trust(source, &asset, units(9))).await;
    let full = check_destination(&world.view(&payee.account()).await, &terms, units(4));
    assert_eq!(full.expect_err("no room").code, "MW-ESC-23");
    let failed = world.landed(&world.claim(&terms, 1, 4, &payer, &payee)).await;
    assert_eq!(failed, (false, 200, "tx_failed".into()));
    world.apply(&payee, |source| template::change_trust(source, &asset, Stroops::MAX)).await;
    check_destination(&world.view(&payee.account()).await, &terms, units(4)).expect("room again");

    // A gap of epochs is fine. Each landing restarts the clock of the refund.
    assert!(world.landed(&world.claim(&terms, 7, 4, &payer, &payee)).await.0);
    let refund = world.refund(&terms, &payer, &payee);
    assert_eq!(world.rejected(&refund).await, "tx_bad_minseq_age_or_gap");
    world.refund_when_due(&refund).await;
    assert_eq!(world.rejected(&world.claim(&terms, 8, 1, &payer, &payee)).await, "tx_bad_seq");

    // The payer takes back what is left, and its reserves.
    let signer = payer.derive(LINK_SIGNER, b"link");
    let reclaim = template::reclaim(&world.source(&payer.account()).await, &terms, units(500 - 13)).expect("valid");
    assert!(world.landed(&reclaim.sign(&[&payer.account_key(), &signer]).expect("two")).await.0);
    let gone = world.ledger.call(LedgerCall::Account { tag: 9, account: terms.escrow }).await;
    assert_eq!((gone.tag, gone.result), (9, LedgerResult::NotFound));
    let (payer_view, payee_view) = (world.view(&payer.account()).await, world.view(&payee.account()).await);
    assert_eq!(payer_view.trustlines[0].balance, units(1000 - 13).as_i64());
    assert_eq!(payee_view.trustlines[0].balance, units(13).as_i64());
    assert_eq!(payer_view.sponsoring, 0);
    // O1 400, F 700, R 300, reclaim 300: the fees are all that opening and closing cost the payer.
    assert_eq!(before.native - payer_view.native, 400 + 700 + 300 + 300);
    let history = world.ledger.transactions_of(&terms.escrow, None, 200).await.expect("read");
    let fate: Vec<_> = history.iter().map(|record| record.successful).collect();
    assert_eq!(fate, [true, true, true, false, true, true, true], "O1, F, K, K, K, R, reclaim");
    let page = world.ledger.transactions_of(&terms.escrow, Some(&history[4].paging_token), 1).await.expect("read");
    assert_eq!((page.len(), &page[0].hash), (1, &history[5].hash));
}

#[tokio::test]
async fn the_server_is_asked_for_its_network_and_fees() {
    let world = World::start(Submission::Waiting).await;
    world.ledger.check_network(&world.network).await.expect("ours");
    assert_eq!(world.ledger.check_network(&NetworkId::of("another")).await.expect_err("other").code, "MW-HZN-8");
    assert_eq!(world.ledger.fees().await.expect("fees").last_ledger_base_fee, 100);
    let nobody = LedgerCall::Transaction { tag: 5, hash: [5; 32] };
    assert_eq!(world.ledger.call(nobody).await.result, LedgerResult::NotFound);
    let rubbish = LedgerCall::Submit { tag: 6, envelope: vec![1, 2, 3], hash: [6; 32] };
    let LedgerResult::Rejected { code } = world.ledger.call(rubbish).await.result else { panic!("taken") };
    assert_eq!(code, "transaction_malformed");
}

/// The embedded ledger behind its own port, and the adapter to it.
pub(crate) struct World {
    pub(crate) ledger: HorizonLedger,
    network: NetworkId,
    server: tokio::task::JoinHandle<()>,
}

impl Drop for World {
    fn drop(&mut self) {
        self.server.abort();
    }
}

impl World {
    pub(crate) async fn start(submission: Submission) -> World {
        let config = NodeConfig { close_every: Duration::from_millis(200), ..NodeConfig::new(PASSPHRASE) };
        let node = Node::in_memory(config).expect("a ledger");
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a free port");
        let addr = LoopbackAddr::try_from(listener.local_addr().expect("bound")).expect("loopback");
        let server = tokio::spawn(async move { serve(listener, node).await.expect("serves until it is ended") });
        let endpoint = Endpoint::loopback(addr).expect("an endpoint");
        let ledger = HorizonLedger::new(endpoint, Timing::devnet()).submitting(submission);
        World { ledger, network: NetworkId::of(PASSPHRASE), server }
    }

    /// Accounts for payer and payee, an issuer that can take nothing back, and 1000 units for the payer.
    pub(crate) async fn issue(&self, code: &str, payer: &Wallet, payee: &Wallet) -> Asset {
        let root = SecretSeed::from_bytes(&self.network.0);
        let issuer = wallet(3);
        let asset = Asset::credit(code, issuer.account()).expect("valid");
        let create = [payer, payee, &issuer].map(|wallet| ops::create_account(None, &wallet.account(), units(100)));
        let funded = template::batch(&self.source(&root.public()).await, create.to_vec()).expect("valid");
        assert!(self.landed(&funded.sign(&[&root]).expect("one")).await.0);
        self.apply(&issuer, |source| template::set_flags(source, ops::AUTH_IMMUTABLE, 0)).await;
        for holder in [payer, payee] {
            self.apply(holder, |source| template::change_trust(source, &asset, Stroops::MAX)).await;
        }
        self.apply(&issuer, |source| template::payment(source, &payer.account(), &asset, units(1000))).await;
        asset
    }

    /// O1, R, F; returns the terms, and the payer as it was before.
    async fn open(&self, payer: &Wallet, payee: &Wallet, asset: Asset) -> (EscrowTerms, AccountView) {
        let (escrow, account) = (payer.derive(ESCROW, b"link 0"), payer.account_key());
        let before = self.view(&account.public()).await;
        let open = template::open(&self.source(&account.public()).await, &escrow.public(), &asset).expect("valid");
        self.landed(&open.sign(&[&account, &escrow]).expect("two")).await;
        let terms = EscrowTerms {
            network: self.network,
            asset,
            escrow: escrow.public(),
            payer_signer: payer.derive(LINK_SIGNER, b"link").public(),
            payer_account: account.public(),
            payee_signer: payee.derive(LINK_SIGNER, b"link").public(),
            payee_account: payee.derive(ACCOUNT, b"").public(),
            created_ledger: u32::try_from(self.view(&escrow.public()).await.sequence >> 32).expect("a ledger"),
            deposit: units(500),
            period_secs: PERIOD,
        };
        let refund = template::sign_refund(&terms, &payee.derive(LINK_SIGNER, b"link")).expect("own key");
        // Without the payee's signature on R, F cannot land.
        let bare = template::fund(&terms).expect("valid").sign(&[&account, &escrow]).expect("two");
        assert_eq!(self.rejected(&bump(&bare, &account, 700)).await, "tx_bad_auth");
        let fund = template::complete_fund(&terms, &escrow, &account, &refund).expect("all keys");
        assert!(self.landed(&bump(&fund, &account, 700)).await.0);
        (terms, before)
    }

    fn claim(&self, terms: &EscrowTerms, epoch: u32, amount: u64, payer: &Wallet, payee: &Wallet) -> Signed {
        let (payer, signer) = (payer.derive(LINK_SIGNER, b"link"), payee.derive(LINK_SIGNER, b"link"));
        let signature = template::sign_claim(terms, epoch, units(amount), &payer).expect("own key");
        let claim = template::complete_claim(terms, epoch, units(amount), &signature, &signer).expect("both");
        bump(&claim, &payee.account_key(), 200)
    }

    fn refund(&self, terms: &EscrowTerms, payer: &Wallet, payee: &Wallet) -> Signed {
        let signature = template::sign_refund(terms, &payee.derive(LINK_SIGNER, b"link")).expect("own key");
        let signer = payer.derive(LINK_SIGNER, b"link");
        let refund = template::complete_refund(terms, &signer, &signature).expect("both");
        bump(&refund, &payer.account_key(), 300)
    }

    async fn refund_when_due(&self, refund: &Signed) {
        for _ in 0..3 * PERIOD {
            match self.submit(refund).await {
                LedgerResult::Landed { success, .. } => return assert!(success),
                LedgerResult::Rejected { code } => assert_eq!(code, "tx_bad_minseq_age_or_gap"),
                other => panic!("{other:?}"),
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        panic!("the refund never became valid");
    }

    /// Lands a plain transaction of a wallet's account.
    async fn apply(
        &self,
        wallet: &Wallet,
        build: impl FnOnce(&Source) -> magicwave::error::Result<template::Unsigned>,
    ) {
        let unsigned = build(&self.source(&wallet.account()).await).expect("valid");
        assert!(self.landed(&unsigned.sign(&[&wallet.account_key()]).expect("one")).await.0);
    }

    async fn source(&self, account: &AccountKey) -> Source {
        let sequence = self.view(account).await.sequence;
        Source { network: self.network, account: *account, sequence, fee_per_op: 100, max_time: 0 }
    }

    pub(crate) async fn view(&self, account: &AccountKey) -> AccountView {
        self.ledger.account(account).await.expect("read").expect("exists")
    }

    async fn submit(&self, signed: &Signed) -> LedgerResult {
        let envelope = signed.to_xdr().expect("small");
        self.ledger.call(LedgerCall::Submit { tag: 1, envelope, hash: signed.hash() }).await.result
    }

    async fn landed(&self, signed: &Signed) -> (bool, u64, String) {
        match self.submit(signed).await {
            LedgerResult::Landed { success, fee, code, .. } => (success, fee, code),
            other => panic!("{other:?}"),
        }
    }

    async fn rejected(&self, signed: &Signed) -> String {
        match self.submit(signed).await {
            LedgerResult::Rejected { code } => code,
            other => panic!("{other:?}"),
        }
    }
}

fn bump(inner: &Signed, payer: &SecretSeed, fee: i64) -> Signed {
    template::fee_bump(inner, &payer.public(), fee).expect("enough").sign(&[payer]).expect("one")
}

pub(crate) fn units(units: u64) -> Stroops {
    Stroops::new(units * UNIT).expect("in range")
}

pub(crate) fn wallet(byte: u8) -> Wallet {
    Wallet::new(SecretSeed::from_bytes(&[byte; 32]))
}
