//! Tests of the configuration file.
use super::*;
use crate::gateway::core::message::ServiceKind;
use crate::gateway::core::paths::PREFIXES_MAX;
use crate::stellar::keys::{SecretSeed, account_id};

fn text(ledger: &str, rest: &str) -> String {
    let issuer = account_id(&SecretSeed::from_bytes(&[7; 32]).public());
    format!(
        "role = \"relay\"\nstate_dir = \"/s\"\napi_socket = \"/s/api.sock\"\n[wallet]\nseed_file = \"/s/seed\"\n\
         [ledger]\n{ledger}\nasset_code = \"MWT\"\nasset_issuer = \"{issuer}\"\n\
         [offer]\nprice = 1024\nfee = 8\ncredit_bytes = 65278\nahead_bytes = 4194304\nquote_secs = 3600\n{rest}"
    )
}

fn refused(ledger: &str, rest: &str) -> String {
    GatewayConfig::parse(&text(ledger, rest)).expect_err("must be refused").to_string()
}

const TEST: &str = "loopback_for_tests = \"127.0.0.1:8000\"\npassphrase = \"devnet\"";

#[test]
fn what_is_rendered_is_read_back_the_same() {
    let config = GatewayConfig::parse(&text(TEST, "[policy]\ngrace_ms = 5000\n")).expect("good");
    assert_eq!(config.policy, Policy { grace_ms: 5000, ..Policy::default() });
    assert_eq!(config.links, Links::default());
    assert_eq!(GatewayConfig::parse(&config.render().expect("renders")).expect("good"), config);
}

#[test]
fn a_passphrase_file_is_named_by_an_absolute_path_or_not_at_all() {
    let named = |path: &str| {
        let line = format!("seed_file = \"/s/seed\"\npassphrase_file = \"{path}\"");
        GatewayConfig::parse(&text(TEST, "").replace("seed_file = \"/s/seed\"", &line))
    };
    let config = named("/s/passphrase").expect("good");
    assert_eq!(config.wallet.passphrase_file.as_deref(), Some(Path::new("/s/passphrase")));
    assert_eq!(GatewayConfig::parse(&config.render().expect("renders")).expect("good"), config);
    assert!(named("passphrase").expect_err("relative").to_string().contains("MW-CONF-3"));
}

#[test]
fn unknown_keys_are_refused_by_name() {
    assert!(refused(TEST, "[policy]\ngrase_ms = 5000\n").contains("grase_ms"));
    assert!(refused(&format!("{TEST}\ndirect = true"), "").contains("direct"));
}

#[test]
fn no_configuration_reaches_a_ledger_past_tor() {
    let public = format!("passphrase = \"{PUBLIC}\"");
    for (ledger, why) in [
        ("loopback_for_tests = \"192.0.2.1:8000\"\npassphrase = \"devnet\"".to_owned(), "not on the loopback"),
        (format!("loopback_for_tests = \"127.0.0.1:8000\"\n{public}"), "public network"),
        (format!("horizon = \"http://127.0.0.1:8000\"\n{public}"), "https"),
        (format!("horizon = \"http://horizon.example\"\n{public}"), "https"),
        (format!("horizon = \"https://user@horizon.example\"\n{public}"), "only a host"),
        (format!("horizon = \"https://horizon.example\"\n{TEST}"), "either"),
        ("passphrase = \"devnet\"".to_owned(), "either"),
    ] {
        let error = refused(&ledger, "");
        assert!(error.contains("MW-CONF-4") && error.contains(why), "{ledger}: {error}");
    }
    let route = |ledger: &str| GatewayConfig::parse(&text(ledger, "")).expect("good").ledger.route().expect("route");
    let tor = |url: &str| LedgerRoute::Tor(url.into());
    assert_eq!(route(&format!("horizon = \"https://horizon.example/\"\n{public}")), tor("https://horizon.example"));
    assert_eq!(route("horizon = \"http://127.0.0.1:8000\"\npassphrase = \"devnet\""), tor("http://127.0.0.1:8000"));
    assert_eq!(route(TEST), LedgerRoute::Loopback("127.0.0.1:8000".parse().expect("address")));
}

#[test]
fn values_that_cannot_be_meant_are_refused() {
    let broken = |from: &str, to: &str| {
        GatewayConfig::parse(&text(TEST, "").replace(from, to)).expect_err("must be refused").to_string()
    };
    assert!(broken("price = 1024", "price = 1000").contains("power of two"));
    assert!(broken("\"/s/seed\"", "\"seed\"").contains("absolute"));
    assert!(broken("\"/s/api.sock\"", &format!("\"/{}\"", "x".repeat(120))).contains("107"));
    assert!(broken("role = \"relay\"", "role = \"client\"").contains("[offer]"));
    assert!(broken("role = \"relay\"", "role = \"site\"").contains("[site]"));
    assert!(broken("quote_secs = 3600", "quote_secs = 1").contains("minute"));
    assert!(broken("\"MWT\"", "\"MW T\"").contains("asset_code"));
    assert!(broken("asset_issuer = \"G", "asset_issuer = \"X").contains("asset_issuer"));
    assert!(refused(TEST, "[links]\nflush_secs = 604800\n").contains("quarter"));
    assert!(refused(TEST, "[links]\nliquidity = 5\n").contains("liquidity"));
    assert!(
        refused(TEST, "[site]\nlisten = \"127.0.0.1:1\"\nupstream = \"192.0.2.1:2\"\npaid_paths = [\"/\"]\n")
            .contains("only a site")
    );
}

#[test]
fn a_site_stands_before_a_server_on_the_loopback_only() {
    let site = text(TEST, "[site]\nlisten = \"127.0.0.1:1\"\nupstream = \"192.0.2.1:2\"\npaid_paths = [\"/\"]\n")
        .replace("relay", "site");
    assert!(GatewayConfig::parse(&site).expect_err("upstream").text.contains("site.upstream"));
    let good = site.replace("192.0.2.1", "127.0.0.1");
    GatewayConfig::parse(&good).expect("good");
    let odd = GatewayConfig::parse(&good.replace("[\"/\"]", "[\"/\", \"films\"]")).expect_err("no path");
    assert!(odd.text.contains("films"), "{odd}");
}

#[test]
fn a_second_server_is_another_one_and_is_reached_as_the_first_one_is() {
    let public = format!("passphrase = \"{PUBLIC}\"\nhorizon = \"https://one.example\"");
    let with = |witness: &str| format!("{public}\nwitness = \"{witness}\"");
    let good = GatewayConfig::parse(&text(&with("https://two.example/"), "")).expect("good");
    assert_eq!(good.ledger.witness_route().expect("good"), Some(LedgerRoute::Tor("https://two.example".into())));
    assert_eq!(GatewayConfig::parse(&text(&public, "")).expect("good").ledger.witness_route().expect("none"), None);
    for (ledger, why) in [
        (with("https://one.example/"), "same server"),
        (with("http://two.example"), "ledger.witness"),
        (with("two"), "ledger.witness"),
        (format!("{TEST}\nwitness = \"https://two.example\""), "wants ledger.horizon"),
    ] {
        let error = refused(&ledger, "");
        assert!(error.contains("MW-CONF-4") && error.contains(why), "{ledger}: {error}");
    }
}

#[test]
fn an_offer_that_no_payer_may_take_is_refused_by_its_key() {
    let broken = |from: &str, to: &str| {
        GatewayConfig::parse(&text(TEST, "").replace(from, to)).expect_err("must be refused").to_string()
    };
    for (from, to, key) in [
        ("price = 1024", "price = 0", "offer.price"),
        ("price = 1024", "price = 1099511627776", "offer.price"),
        ("price = 1024", "price = 8589934592", "offer.price"),
        ("fee = 8", "fee = 1125899906842624", "offer.fee"),
        ("fee = 8", "fee = 3", "offer.fee"),
        ("quote_secs = 3600", "quote_secs = 604800", "offer.quote_secs"),
        ("credit_bytes = 65278", "credit_bytes = 1073741825", "offer.credit_bytes"),
        ("ahead_bytes = 4194304", "ahead_bytes = 1073741825", "offer.ahead_bytes"),
    ] {
        let error = broken(from, to);
        assert!(error.contains(key) && error.contains("MW-CONF-3"), "{to}: {error}");
    }
    for (from, to) in [
        ("price = 1024", "price = 4294967296"),
        ("price = 1024", "price = 1"),
        ("fee = 8", "fee = 0"),
        ("quote_secs = 3600", "quote_secs = 86400"),
    ] {
        let config = GatewayConfig::parse(&text(TEST, "").replace(from, to)).expect(to);
        config.offer.as_ref().expect("an offer").terms(&config).expect("terms").check().expect("as hellos want it");
    }
}

#[test]
fn a_paid_path_is_one_that_the_front_takes() {
    let site = |paths: &str| {
        let keys = format!("[site]\nlisten = \"127.0.0.1:1\"\nupstream = \"127.0.0.1:2\"\npaid_paths = [{paths}]\n");
        GatewayConfig::parse(&text(TEST, &keys).replace("relay", "site"))
    };
    site("\"/\", \"/films/new\"").expect("good");
    for odd in ["/a/../b", "/a/%2e%2e/b", "/a%2fb", "films", "/%zz"] {
        let error = site(&format!("\"/good\", \"{odd}\"")).expect_err(odd).to_string();
        assert!(error.contains("site.paid_paths") && error.contains(odd), "{error}");
    }
    let many: Vec<String> = (0..=PREFIXES_MAX).map(|n| format!("\"/{n}\"")).collect();
    assert!(site(&many.join(",")).expect_err("too many").text.contains("at most"));
}

#[test]
fn a_file_without_an_end_is_read_to_the_limit_and_refused() {
    let error = GatewayConfig::load(Path::new("/dev/zero")).expect_err("no end");
    assert!(error.code == "MW-CONF-1" && error.text.contains("/dev/zero"), "{error}");
    let dir = tempfile::tempdir().expect("a directory");
    let path = dir.path().join("text");
    std::fs::write(&path, "12345").expect("written");
    assert_eq!(read_text(&path, 5).expect("fits"), "12345");
    assert!(read_text(&path, 4).is_err());
}

#[test]
fn a_database_is_on_this_machine_and_its_address_holds_no_password() {
    let with = |url: &str| text(TEST, &format!("[database]\nurl = \"{url}\"\n"));
    let route = |url: &str| {
        let config = GatewayConfig::parse(&with(url)).expect(url);
        assert_eq!(GatewayConfig::parse(&config.render().expect("renders")).expect("good"), config);
        config.database.expect("a database").route().expect("good")
    };
    let made = |host, user: &str, name: &str| DatabaseRoute { host, user: user.into(), name: name.into() };
    let loopback = |text: &str| DatabaseHost::Loopback(text.parse().expect("an address"));
    assert_eq!(route("postgres://mw@127.0.0.1/books"), made(loopback("127.0.0.1:5432"), "mw", "books"));
    assert_eq!(route("postgresql://mw@[::1]:7/books"), made(loopback("[::1]:7"), "mw", "books"));
    let socket = DatabaseHost::Socket("/run/postgresql".into(), 5433);
    assert_eq!(route("postgres:///books?host=/run/postgresql&user=mw&port=5433"), made(socket, "mw", "books"));
    let secret = "hunter2hunter2";
    for url in [
        format!("postgres://mw:{secret}@127.0.0.1/books"),
        format!("postgres://mw@127.0.0.1/books?password={secret}"),
        format!("postgres:///books?host=/run&user=mw&password={secret}"),
        "postgres://mw@192.0.2.1/books".into(),
        "postgres://mw@localhost/books".into(),
        "postgres://mw@db.example/books".into(),
        "postgres://mw@127.0.0.1/books?host=192.0.2.1".into(),
        "postgres://mw@127.0.0.1/books?user=root".into(),
        "postgres://mw@127.0.0.1/books?sslmode=disable".into(),
        "postgres://mw@127.0.0.1/books?options=-cfsync%3Doff".into(),
        "postgres://mw@127.0.0.1/".into(),
        "postgres://mw@127.0.0.1/bo/oks".into(),
        "postgres://127.0.0.1/books".into(),
        "postgres:///books?user=mw".into(),
        "postgres:///books?host=run&user=mw".into(),
        "postgres:///books?host=/a,192.0.2.1&user=mw&host=/b".into(),
        "postgres://mw@127.0.0.1/books#x".into(),
        "mysql://mw@127.0.0.1/books".into(),
        "books".into(),
    ] {
        let error = GatewayConfig::parse(&with(&url)).expect_err(&url);
        assert_eq!(error.code, "MW-CONF-6", "{url}");
        assert!(!error.text.contains(secret), "{error}");
    }
}

#[test]
fn a_password_is_read_from_a_file_of_its_owner() {
    use std::os::unix::fs::PermissionsExt;
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("password");
    let database = |file: &Path| {
        let text = text(TEST, &format!("[database]\nurl = \"postgres://mw@127.0.0.1/b\"\npassword_file = {file:?}\n"));
        GatewayConfig::parse(&text).map(|config| config.database.expect("a database"))
    };
    assert_eq!(database(Path::new("password")).expect_err("relative").code, "MW-CONF-3");
    let database = database(&file).expect("good");
    assert_eq!(database.password().expect_err("not there").code, "MW-CONF-1");
    std::fs::write(&file, "secret words\nsecond line\n").expect("written");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o640)).expect("mode");
    assert_eq!(database.password().expect_err("others").code, "MW-CONF-3");
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).expect("mode");
    assert_eq!(database.password().expect("read").as_deref(), Some("secret words"));
    std::fs::write(&file, "\n").expect("written");
    assert_eq!(database.password().expect_err("empty").code, "MW-CONF-3");
}

#[test]
fn the_api_listens_on_the_loopback_and_for_pages_that_are_named_exactly() {
    let with = |lines: &str| {
        let line = "api_socket = \"/s/api.sock\"";
        GatewayConfig::parse(&text(TEST, "").replace(line, &format!("{line}\n{lines}")))
    };
    let page = "chrome-extension://abcdefghijklmnopabcdefghijklmnop";
    let good = with(&format!("api_listen = \"127.0.0.1:7070\"\napi_origins = [\"{page}\"]")).expect("good");
    assert_eq!((good.api_listen, good.api_origins.as_slice()), ("127.0.0.1:7070".parse().ok(), &[page.to_owned()][..]));
    assert_eq!(GatewayConfig::parse(&good.render().expect("renders")).expect("good"), good);
    assert!(with("api_listen = \"[::1]:7070\"").is_ok());
    for odd in
        ["0.0.0.0:7070", "192.0.2.1:7070", "[::]:7070", "[::ffff:127.0.0.1]:7070", "127.0.0.2:7070", "127.0.0.1:0"]
    {
        let error = with(&format!("api_listen = \"{odd}\"")).expect_err(odd);
        assert!(error.code == "MW-CONF-3" && error.text.contains("api_listen"), "{odd}: {error}");
    }
    for odd in
        ["*", "null", "https://", "https://shop.example/", "https://Shop.example", "https://*.example", "shop.example"]
    {
        let error = with(&format!("api_origins = [\"{odd}\"]")).expect_err(odd);
        assert!(error.code == "MW-CONF-3" && error.text.contains("api_origins"), "{odd}: {error}");
    }
    let many = vec![format!("\"{page}\""); 17].join(", ");
    assert!(with(&format!("api_origins = [{many}]")).expect_err("too many").text.contains("16"));
}

/// The text of a client's file with these lines in and after `[pay]`.
fn paying(rest: &str) -> String {
    let text = text(TEST, "").replace("\"relay\"", "\"client\"");
    let (head, _) = text.split_once("[offer]").expect("an offer");
    format!("{head}[pay]\nahead_bytes = 65536\nmax_price = 4096\nmax_fee = 32\nday = 1000\nsite = 100\n{rest}")
}

#[test]
fn a_policy_is_what_pay_says_and_what_its_kinds_and_sites_say_otherwise() {
    let stroops = |n| Stroops::new(n).expect("in range");
    let plain = GatewayConfig::parse(&paying("")).expect("good").pay.expect("pays").policy().expect("a policy");
    assert_eq!((plain.limits.kinds, plain.rules.len()), ([stroops(1000); 3], 0));
    let rest = "mode = \"ask\"\n[pay.tor]\nmode = \"auto\"\nday = 600\n[pay.http]\nmax_price = 8\n\
                [[pay.rule]]\nsite = \"shop.example:8080\"\nmode = \"never\"\n\
                [[pay.rule]]\nsite = \"news.example\"\nmode = \"auto\"\nday = 7\n";
    let config = GatewayConfig::parse(&paying(rest)).expect("good");
    assert_eq!(GatewayConfig::parse(&config.render().expect("renders")).expect("good"), config);
    let policy = config.pay.expect("pays").policy().expect("a policy");
    assert_eq!(policy.limits.kinds, [600, 1000, 1000].map(stroops));
    assert_eq!(policy.limits.price_ceilings, [4096, 4096, 8].map(Price));
    let modes = [
        (ServiceKind::Tor, None, Mode::Auto),
        (ServiceKind::Ipfs, None, Mode::Ask),
        (ServiceKind::Http, Some("other.example"), Mode::Ask),
        (ServiceKind::Http, Some("shop.example:8080"), Mode::Never),
        (ServiceKind::Http, Some("news.example"), Mode::Auto),
    ];
    for (kind, site, mode) in modes {
        assert_eq!(policy.mode(kind, site), mode, "{kind:?} {site:?}");
    }
    assert_eq!([policy.site_day("news.example"), policy.site_day("shop.example:8080")], [7, 100].map(stroops));
}

#[test]
fn a_policy_that_cannot_be_meant_is_refused_by_its_key() {
    let rule = |site: &str| format!("[[pay.rule]]\nsite = \"{site}\"\nmode = \"ask\"\n");
    for (rest, why) in [
        (rule("Shop.example"), "lower case"),
        (rule("http://shop.example"), "host[:port]"),
        (format!("{}{}", rule("shop.example"), rule("shop.example")), "shop.example"),
        ("[pay.tor]\nmax_price = 4294967297\n".into(), "ceiling"),
        ("[pay.tor]\nsite = 5\n".into(), "site"),
        ("mode = \"maybe\"\n".into(), "maybe"),
    ] {
        let error = GatewayConfig::parse(&paying(&rest)).expect_err("must be refused").to_string();
        assert!(error.contains(why), "{rest}: {error}");
    }
}
