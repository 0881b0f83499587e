//! `magicwave wallet show|fund|send|history` against a ledger that closes ten times a second.
use crate::stellar_socks::Proxy;
use crate::wallet_world::{HISTORIES_TRAIL, LOOK_UPS_TRAIL, Purse, REFUSES, Run, World, run};
use serde_json::Value;
use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

/// An issuer and a client; both made ready by the program, the client with 100 MWT.
async fn ready() -> (World, Purse, Purse, String) {
    let world = World::start().await;
    let issuer = world.account("issuer");
    let (bank, client) = (world.purse("issuer", &issuer), world.purse("client", &issuer));
    let account = world.account("client");
    let made = world.run(&bank, &["fund"]).await.ok();
    assert_eq!((made["created"].as_bool(), made["trustline"].as_str()), (Some(true), Some("not_needed")));
    let made = world.run(&client, &["fund"]).await.ok();
    assert_eq!((made["created"].as_bool(), made["trustline"].as_str()), (Some(true), Some("opened")));
    world.run(&bank, &["send", &account, "100", "--yes"]).await.ok();
    (world, bank, client, account)
}

fn sent(run: &Run) -> String {
    run.ok()["hash"].as_str().expect("a hash").to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_account_is_made_ready_pays_and_is_paid_and_its_history_adds_up() {
    let (world, bank, client, account) = ready().await;
    let again = world.run(&client, &["fund"]).await.ok();
    assert_eq!((again["created"].as_bool(), again["trustline"].as_str()), (Some(false), Some("before")));

    let shown = world.run(&client, &["show"]).await.ok();
    let native = &shown["holdings"]["native"];
    assert_eq!(shown["account"], account.as_str());
    // A friendbot's 10 000, less the fee of the trustline; 3 entries of half an XLM are held back.
    assert_eq!(native["balance"], "9999.9999900");
    assert_eq!((native["reserve"].as_str(), native["spendable"].as_str()), (Some("1.5000000"), Some("9998.4999900")));
    let line = &shown["holdings"]["assets"][0];
    assert_eq!((line["balance"].as_str(), line["spendable"].as_str()), (Some("100.0000000"), Some("100.0000000")));

    let issuer = world.account("issuer");
    let paid = world.run(&client, &["send", &issuer, "0.0000001", "--yes", "--memo", "a,\"b\""]).await;
    let value = paid.ok();
    assert_eq!((value["amount"].as_str(), value["repeated"].as_bool()), (Some("0.0000001"), Some(false)));
    world.run(&client, &["send", &issuer, "12.5", "--asset", "xlm", "--yes", "--memo-id", "7"]).await.ok();
    // An account that is not there yet is created by a payment of XLM.
    let third = world.account("third");
    let made = world.run(&client, &["send", &third, "5", "--asset", "native", "--yes"]).await.ok();
    assert_eq!(made["created"], true);
    assert_eq!(world.balance(&client, "MWT").await, "99.9999999");
    assert_eq!(world.balance(&bank, "native").await, "10012.4999900");

    let history = world.run(&client, &["history"]).await.ok();
    assert_eq!(history["next"], Value::Null);
    let entries = history["entries"].as_array().expect("entries").clone();
    let mut sums = BTreeMap::new();
    for entry in &entries {
        let amount: i128 = entry["amount"].as_str().expect("text").replace('.', "").parse().expect("a number");
        let signed = if entry["direction"] == "in" { amount } else { -amount };
        *sums
            .entry(entry["asset"].as_str().expect("text").split(':').next().expect("a code").to_owned())
            .or_insert(0) += signed;
    }
    let held = |text: String| text.replace('.', "").parse::<i128>().expect("a number");
    assert_eq!(sums["native"], held(world.balance(&client, "native").await), "{entries:?}");
    assert_eq!(sums["MWT"], held(world.balance(&client, "MWT").await), "{entries:?}");
    let hash = value["hash"].as_str().expect("a hash");
    let entry = entries.iter().find(|entry| entry["hash"] == hash && entry["kind"] == "payment").expect("the payment");
    assert_eq!((entry["other"].as_str(), entry["memo"].as_str()), (Some(issuer.as_str()), Some("a,\"b\"")));
    assert_eq!(entries[0]["kind"], "create_account");
    assert!(entries.iter().any(|entry| entry["memo"] == "7"));

    // Pages of one transaction make up the same.
    let (mut pages, mut place) = (Vec::new(), None::<String>);
    loop {
        let mut args = vec!["history", "--limit", "1"];
        args.extend(place.as_deref().map(|place| ["--before", place]).iter().flatten());
        let page = world.run(&client, &args).await.ok();
        pages.extend(page["entries"].as_array().expect("entries").clone());
        match page["next"].as_str() {
            Some(next) => place = Some(next.to_owned()),
            None => break,
        }
    }
    assert_eq!(pages, entries);
    let gateway = client.gateway.to_str().expect("text");
    let csv = run(&["history", "--gateway", gateway, "--csv"], "").await;
    assert_eq!(csv.out.lines().count(), entries.len() + 1, "{csv:?}");
    assert!(csv.out.starts_with("time,ledger,transaction,kind,amount,asset,other,memo\r\n"));
    assert!(csv.out.contains("payment,-0.0000001,MWT:") && csv.out.contains(",\"a,\"\"b\"\"\"\r\n"), "{}", csv.out);
    let page = run(&["history", "--gateway", gateway], "").await;
    assert!(page.out.contains("-5.0000000 XLM create_account to G"), "{}", page.out);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_cannot_land_is_refused_before_anything_is_signed() {
    let (world, bank, client, account) = ready().await;
    let issuer = world.account("issuer");
    let nobody = world.account("nobody");
    let poor = world.account("poor");
    world.run(&client, &["send", &poor, "1", "--asset", "xlm", "--yes"]).await.ok();
    let muxed = "MA7QYNF7SOWQ3GLR2BGMZEHXAVIRZA4KVWLTJJFC7MGXUA74P7UJUAAAAAAAAAAAACJUQ";
    let before = world.balance(&client, "native").await;
    let cases: &[(&[&str], i32, &str)] = &[
        (&[&issuer, "0"], 5, "MW-WALLET-22"),
        (&[&issuer, "1e3"], 5, "MW-WALLET-22"),
        (&[&issuer, "0.00000001"], 5, "MW-WALLET-22"),
        (&[&issuer, "922337203685.4775808"], 5, "MW-WALLET-22"),
        (&[&account, "1"], 5, "MW-WALLET-23"),
        (&["GABC", "1"], 5, "MW-WALLET-23"),
        (&[muxed, "1"], 5, "MW-WALLET-23"),
        (&[&nobody, "1"], 5, "MW-WALLET-24"),
        (&[&nobody, "0.9999999", "--asset", "xlm"], 5, "MW-WALLET-24"),
        (&[&poor, "1"], 5, "MW-WALLET-25"),
        (&[&issuer, "100.0000001"], 5, "MW-WALLET-26"),
        (&[&issuer, "9997.5", "--asset", "xlm"], 5, "MW-WALLET-26"),
        (&[&issuer, "1", "--memo", "twenty-nine bytes of a memo.."], 5, "MW-WALLET-28"),
    ];
    for (args, exit, code) in cases {
        let refused = world.run(&client, &[&["send", "--yes"], *args].concat()).await;
        assert_eq!(refused.failed(), (*exit, (*code).to_owned()), "{args:?}");
    }
    // What nobody can pay is not asked for either.
    assert_eq!(world.run(&client, &["receive", "--amount=0"]).await.failed(), (5, "MW-WALLET-22".into()));
    assert_eq!(world.run(&client, &["receive", "--amount=0.0000001"]).await.ok()["amount"], "0.0000001");
    // Without --yes nobody is asked where there is no terminal.
    assert_eq!(world.run(&client, &["send", &issuer, "1"]).await.failed(), (1, "MW-WALLET-30".into()));
    assert_eq!(world.balance(&client, "native").await, before, "no fee was paid for any of this");
    // An account with its reserve alone can neither pay a fee nor open a trustline.
    let poor = world.purse("poor", &issuer);
    assert_eq!(world.run(&poor, &["fund"]).await.failed(), (5, "MW-WALLET-27".into()));
    assert_eq!(world.run(&poor, &["send", &issuer, "0.1", "--asset", "xlm", "--yes"]).await.failed().1, "MW-WALLET-26");
    let nobody = world.purse("nobody", &issuer);
    assert_eq!(world.run(&nobody, &["send", &issuer, "1", "--yes"]).await.failed(), (5, "MW-WALLET-21".into()));
    assert_eq!(world.run(&nobody, &["show"]).await.ok()["exists"], false);
    // Another network than the server's, and an asset that nobody issues.
    let server = format!("loopback_for_tests = \"{}\"", world.line);
    let lost = world.purse_with("client", &issuer, &server, "another network");
    assert_eq!(world.run(&lost, &["send", &issuer, "1", "--yes"]).await.failed(), (5, "MW-HZN-8".into()));
    let unissued = world.purse("client", &world.account("unissued"));
    assert_eq!(world.run(&unissued, &["fund"]).await.failed(), (5, "MW-WALLET-38".into()));
    let _ = bank;
}

/// A payment that gets there, but whose answer is lost; its hash.
async fn unanswered(world: &World, purse: &Purse, pay: &[&str]) -> String {
    world.deaf.store(true, Ordering::SeqCst);
    assert_eq!(world.run(purse, pay).await.failed(), (6, "MW-WALLET-35".into()));
    world.deaf.store(false, Ordering::SeqCst);
    pending(world, purse)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_whose_answer_is_lost_is_found_by_the_same_command_and_not_paid_twice() {
    let (world, _, client, _) = ready().await;
    let issuer = world.account("issuer");
    let pay = ["send", issuer.as_str(), "10", "--yes"];
    let pending = unanswered(&world, &client, &pay).await;
    let again = world.run(&client, &pay).await;
    assert_eq!((sent(&again), again.ok()["repeated"].as_bool()), (pending, Some(true)));
    assert_eq!(world.balance(&client, "MWT").await, "90.0000000", "paid once");
    // Known to have ended, the same command is a new payment.
    assert_eq!(world.run(&client, &pay).await.ok()["repeated"], false);
    assert_eq!(world.balance(&client, "MWT").await, "80.0000000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_that_landed_is_not_paid_twice_where_the_servers_view_of_transactions_trails() {
    let (world, _, client, _) = ready().await;
    let issuer = world.account("issuer");
    let pay = ["send", issuer.as_str(), "10", "--yes"];
    let pending = unanswered(&world, &client, &pay).await;
    // Sent again it is refused, since its number is used, and it is found nowhere: that proves nothing.
    world.view.trail(HISTORIES_TRAIL);
    for pay in [&pay, &["send", issuer.as_str(), "3", "--yes"]] {
        let open = world.run(&client, pay).await;
        assert_eq!(open.failed(), (6, "MW-WALLET-35".into()));
        assert!(open.err.contains(&pending) && open.err.contains("tx_bad_seq"), "{open:?}");
    }
    assert_eq!(world.balance(&client, "MWT").await, "90.0000000", "paid once");
    // The account's own transactions show it,
    world.view.trail(LOOK_UPS_TRAIL);
    let again = world.run(&client, &pay).await;
    assert_eq!((sent(&again), again.ok()["repeated"].as_bool()), (pending, Some(true)));
    assert_eq!(world.balance(&client, "MWT").await, "90.0000000", "paid once");
    assert!(everything_settled(&world));
    // also when the next payment is to come from another account of the wallet, which is none here.
    world.view.trail(0);
    world.deaf.store(true, Ordering::SeqCst);
    assert_eq!(world.run(&client, &pay).await.failed(), (6, "MW-WALLET-35".into()));
    world.deaf.store(false, Ordering::SeqCst);
    world.view.trail(LOOK_UPS_TRAIL);
    let other = world.run(&client, &[&pay[..], &["--account", "1"]].concat()).await;
    assert_eq!(other.failed(), (5, "MW-WALLET-21".into()));
    assert!(other.err.contains("An earlier payment landed meanwhile"), "{other:?}");
    assert_eq!(world.balance(&client, "MWT").await, "80.0000000", "paid once more");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_that_was_refused_for_its_fee_and_lands_all_the_same_is_not_paid_twice() {
    let (world, _, client, _) = ready().await;
    let issuer = world.account("issuer");
    let pay = ["send", issuer.as_str(), "10", "--yes"];
    world.view.trail(REFUSES);
    let refused = world.run(&client, &pay).await;
    assert_eq!(refused.failed(), (6, "MW-WALLET-35".into()));
    assert!(refused.err.contains("tx_insufficient_fee"), "{refused:?}");
    // A server that was busy a moment before had handed it on.
    world.view.trail(0);
    world.post(&world.view.newest()).await;
    let again = world.run(&client, &pay).await.ok();
    assert_eq!(again["repeated"], true);
    assert_eq!(world.balance(&client, "MWT").await, "90.0000000", "paid once");
    assert!(everything_settled(&world));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_accounts_of_one_wallet_are_opened_shown_and_paid_from_one_by_one() {
    let (world, bank, client, account) = ready().await;
    let issuer = world.account("issuer");
    let made = world.run(&client, &["fund", "--account", "1"]).await.ok();
    let second = made["account"].as_str().expect("G…").to_owned();
    assert!(made["created"] == true && second != account, "{made}");
    world.run(&bank, &["send", &second, "7", "--yes"]).await.ok();

    let shown = world.run(&client, &["show"]).await.ok();
    assert_eq!((shown["account"].as_str(), shown["number"].as_u64()), (Some(account.as_str()), Some(0)));
    let others: Vec<_> = shown["others"].as_array().expect("others").iter().collect();
    assert_eq!(others.iter().map(|other| other["number"].as_u64()).collect::<Vec<_>>(), [Some(1), Some(2)]);
    assert_eq!(others[0]["account"], second.as_str());
    let text = run(&["show", "--gateway", client.gateway.to_str().expect("text")], "").await;
    assert!(text.out.contains(&format!("{second} (number 1; --account 1 shows it)")), "{}", text.out);

    // The same payment from another account is another payment, also while the first one's end is unknown.
    world.deaf.store(true, Ordering::SeqCst);
    let pay = ["send", issuer.as_str(), "2", "--yes"];
    assert_eq!(world.run(&client, &pay).await.failed(), (6, "MW-WALLET-35".into()));
    world.deaf.store(false, Ordering::SeqCst);
    let numbered = [&pay[..], &["--account", "1"]].concat();
    let paid = world.run(&client, &numbered).await.ok();
    assert_eq!((paid["account_number"].as_u64(), paid["repeated"].as_bool()), (Some(1), Some(false)));
    let of = |value: &Value| value["holdings"]["assets"][0]["balance"].as_str().expect("text").to_owned();
    let one = world.run(&client, &["show", "--account", "1"]).await.ok();
    assert_eq!(
        (of(&one).as_str(), one["number"].as_u64(), &one["others"]),
        ("5.0000000", Some(1), &Value::Array(vec![]))
    );
    assert_eq!(world.balance(&client, "MWT").await, "98.0000000");
    let history = world.run(&client, &["history", "--account", "1"]).await.ok();
    assert_eq!(history["entries"].as_array().expect("entries").iter().filter(|it| it["asset"] != "native").count(), 2);

    // Between two of one's own it is said what that tells.
    let moved = world.run(&client, &["send", &second, "1", "--yes"]).await;
    assert!(moved.err.contains("account 1 of this wallet"), "{moved:?}");
    let odd = world.run(&client, &["show", "--account", "16"]).await;
    assert!(odd.code == 2 && odd.err.contains("16 is not in 0..16"), "{odd:?}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_that_never_got_there_is_sent_again_as_it_was() {
    let (world, _, client, _) = ready().await;
    let issuer = world.account("issuer");
    world.cut.store(true, Ordering::SeqCst);
    assert_eq!(world.run(&client, &["send", &issuer, "10", "--yes"]).await.failed(), (6, "MW-WALLET-35".into()));
    let first = pending(&world, &client);
    // Its end is open still: another payment waits.
    assert_eq!(world.run(&client, &["send", &issuer, "3", "--yes"]).await.failed(), (6, "MW-WALLET-35".into()));
    assert_eq!(pending(&world, &client), first);
    world.cut.store(false, Ordering::SeqCst);
    // Another payment first settles the one that is under way, then goes itself.
    let other = world.run(&client, &["send", &issuer, "3", "--yes"]).await;
    assert_ne!(sent(&other), first);
    assert!(other.err.contains("An earlier payment landed meanwhile") && other.err.contains(&first), "{other:?}");
    assert_eq!(world.balance(&client, "MWT").await, "87.0000000");
    assert!(everything_settled(&world));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_payment_whose_place_was_taken_is_made_anew_and_paid_once() {
    let (world, _, client, _) = ready().await;
    let issuer = world.account("issuer");
    world.cut.store(true, Ordering::SeqCst);
    assert_eq!(world.run(&client, &["send", &issuer, "10", "--yes"]).await.failed(), (6, "MW-WALLET-35".into()));
    let first = pending(&world, &client);
    world.cut.store(false, Ordering::SeqCst);
    // The gateway, say, sends from the same account: here a trustline for another asset takes the sequence number.
    let other = world.purse("third", &world.account("third"));
    world.run(&other, &["fund"]).await.ok();
    let same = world.purse("client", &world.account("third"));
    assert_eq!(world.run(&same, &["fund"]).await.ok()["trustline"], "opened");
    let client = world.purse("client", &issuer);
    let again = world.run(&client, &["send", &issuer, "10", "--yes"]).await;
    assert_ne!(sent(&again), first);
    assert_eq!(again.ok()["repeated"], false);
    assert!(again.err.contains("never landed and never will (tx_bad_seq)"), "{again:?}");
    let shown = world.run(&client, &["show"]).await.ok();
    let line = shown["holdings"]["assets"].as_array().expect("assets").iter();
    let held: Vec<_> =
        line.filter(|line| line["asset"] == format!("MWT:{issuer}")).map(|line| &line["balance"]).collect();
    assert_eq!(held, ["90.0000000"]);
    assert!(everything_settled(&world));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_command_at_a_time_sends_from_a_wallet() {
    let (world, _, client, _) = ready().await;
    let issuer = world.account("issuer");
    let held = std::fs::File::open(&client.seed).expect("the seed");
    held.lock().expect("a lock");
    assert_eq!(world.run(&client, &["send", &issuer, "1", "--yes"]).await.failed(), (1, "MW-WALLET-31".into()));
    held.unlock().expect("unlocked");
    world.run(&client, &["send", &issuer, "1", "--yes"]).await.ok();
    // A note that cannot be read is never taken for none.
    let note = note(&world, &client);
    std::fs::write(&note, "{").expect("written");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o600);
    std::fs::set_permissions(&note, mode).expect("mode");
    assert_eq!(world.run(&client, &["send", &issuer, "1", "--yes"]).await.failed(), (1, "MW-WALLET-32".into()));
    assert_eq!(world.balance(&client, "MWT").await, "99.0000000");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_ledger_behind_tor_is_asked_through_its_proxy_alone() {
    let proxy = Proxy::start(false).await;
    let world = World::start().await;
    let account = world.account("client");
    let socks = proxy.addr.get().to_string();
    let purse = |path: &str| {
        world.purse_with("client", &account, &format!("horizon = \"http://example.onion{path}\""), "a network")
    };
    let shown = world.run(&purse("/h"), &["show", "--socks", &socks]).await.ok();
    assert_eq!((shown["account"].as_str(), shown["exists"].as_bool()), (Some(account.as_str()), Some(false)));
    assert_eq!(proxy.requests(), [format!("GET /h/accounts/{account}")]);
    // Nobody gives money away there.
    assert_eq!(world.run(&purse("/h"), &["fund", "--socks", &socks]).await.failed(), (5, "MW-WALLET-36".into()));
    // Here somebody does, at another name: that too goes through the proxy, and nothing came of it.
    assert_eq!(world.run(&purse("/f"), &["fund", "--socks", &socks]).await.failed(), (3, "MW-WALLET-37".into()));
    let asked = proxy.asked();
    assert!(asked.iter().any(|ask| ask.target == "friendbot.onion:80"));
    assert!(asked.iter().all(|ask| ["example.onion:80", "friendbot.onion:80"].contains(&ask.target.as_str())));
    assert!(asked.iter().all(|ask| ask.user == "magicwave-ledger" && ask.password.len() == 32));
    let gift = format!("GET /give?addr={account}");
    assert_eq!(proxy.requests().iter().filter(|request| **request == gift).count(), 1);
    // No proxy, no way: a dead one is not gone round.
    let dead =
        std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("bound").to_string();
    assert_eq!(world.run(&purse("/h"), &["show", "--socks", &dead]).await.failed(), (3, "MW-HZN-5".into()));
}

/// The note of a payment under way.
fn note(world: &World, purse: &Purse) -> std::path::PathBuf {
    let network = magicwave::stellar::network::NetworkId::of(crate::wallet_world::PASSPHRASE);
    let name = purse.seed.file_name().expect("a name").to_str().expect("text");
    world.home.path().join(format!("{name}.sending-{}", hex::encode(&network.0[..4])))
}

fn pending(world: &World, purse: &Purse) -> String {
    let text = std::fs::read_to_string(note(world, purse)).expect("a payment under way");
    let value: Value = serde_json::from_str(&text).expect("json");
    value["hash"].as_str().expect("a hash").to_owned()
}

fn everything_settled(world: &World) -> bool {
    let names = std::fs::read_dir(world.home.path()).expect("a directory");
    names.map(|entry| entry.expect("an entry").file_name()).all(|name| !name.to_string_lossy().contains(".sending"))
}
