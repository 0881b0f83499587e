//! Rules, decisions, a person's word, and how the account stands.
use super::*;
use magicwave::gateway::core::policy::{
    APPROVAL_MS, APPROVALS_MAX, Account, AccountState, Approvals, Decision, Facts, LOW_DAYS, Mode, OFFLINE_MS, Policy,
    Purse, RULES_MAX, Rule, SITE_NAME_MAX, Target, Wish, Word, decide, site_id, site_name,
};

const SHOP: &str = "shop.example:8080";
const DAY: u64 = 20_000;

fn limits() -> Limits {
    Limits {
        day: amount(100),
        site: amount(60),
        kinds: [amount(80), amount(50), amount(90)],
        price_ceilings: [Price(1024), Price(512), Price(1 << 20)],
        fee_ceiling: amount(16),
    }
}

fn rule(target: Target, mode: Mode, day: Option<u64>) -> Rule {
    Rule { target, mode, day: day.map(amount) }
}

fn shop() -> Target {
    Target::Site(SHOP.into())
}

fn budget(rules: impl IntoIterator<Item = Rule>) -> Budget {
    let mut budget = Budget::new(limits(), Spent::default());
    budget.set_policy(Policy::new(limits()).with_rules(rules).expect("rules"));
    budget
}

fn asked(budget: &mut Budget, kind: ServiceKind, site: Option<&str>, stroops: u64) -> Decision {
    decide(budget, DAY, &Wish { offer: &offer_of(kind), site, amount: amount(stroops) })
}

#[test]
fn without_rules_what_is_inside_the_limits_is_paid() {
    let mut budget = budget([]);
    assert_eq!(asked(&mut budget, ServiceKind::Tor, None, 80), Decision::Pay);
    assert_eq!(asked(&mut budget, ServiceKind::Tor, None, 81), Decision::Refuse(RefusalCode::BUDGET_KIND));
    assert_eq!(asked(&mut budget, ServiceKind::Http, Some(SHOP), 61), Decision::Refuse(RefusalCode::BUDGET_SITE));
    assert_eq!(asked(&mut budget, ServiceKind::Ipfs, None, 1), Decision::Refuse(RefusalCode::PRICE_CEILING));
}

#[test]
fn a_decision_sets_nothing_aside() {
    let mut budget = budget([]);
    for _ in 0..3 {
        assert_eq!(asked(&mut budget, ServiceKind::Tor, None, 80), Decision::Pay);
    }
    assert_eq!(budget.reserved(), Stroops::ZERO);
}

#[test]
fn the_rule_of_a_site_goes_before_that_of_its_kind_and_that_before_the_one_for_everything() {
    let (all, http) = (Target::All, Target::Kind(ServiceKind::Http));
    let rules = [rule(all, Mode::Never, None), rule(http, Mode::Ask, None), rule(shop(), Mode::Auto, None)];
    let mut budget = budget(rules);
    assert_eq!(asked(&mut budget, ServiceKind::Http, Some(SHOP), 1), Decision::Pay);
    assert_eq!(asked(&mut budget, ServiceKind::Http, Some("shop.example"), 1), Decision::Ask, "another port");
    assert_eq!(asked(&mut budget, ServiceKind::Tor, None, 1), Decision::Refuse(RefusalCode::NOT_ALLOWED));
}

#[test]
fn nobody_is_asked_about_a_payment_that_would_not_be_made() {
    let mut budget = budget([rule(Target::All, Mode::Ask, None)]);
    assert_eq!(asked(&mut budget, ServiceKind::Tor, None, 80), Decision::Ask);
    assert_eq!(asked(&mut budget, ServiceKind::Tor, None, 81), Decision::Refuse(RefusalCode::BUDGET_KIND));
    assert_eq!(asked(&mut budget, ServiceKind::Ipfs, None, 1), Decision::Refuse(RefusalCode::PRICE_CEILING));
}

#[test]
fn a_site_may_have_a_budget_of_its_own_that_is_smaller_or_larger() {
    for (day, fits) in [(5, 5), (70, 70)] {
        let mut budget = budget([rule(shop(), Mode::Auto, Some(day))]);
        assert_eq!(asked(&mut budget, ServiceKind::Http, Some(SHOP), fits), Decision::Pay);
        let above = asked(&mut budget, ServiceKind::Http, Some(SHOP), fits + 1);
        assert_eq!(above, Decision::Refuse(RefusalCode::BUDGET_SITE));
        budget.reserve([1; 16], DAY, Some(site_id(SHOP)), ServiceKind::Http, amount(fits)).expect("fits");
        assert_eq!(asked(&mut budget, ServiceKind::Http, Some(SHOP), 1), Decision::Refuse(RefusalCode::BUDGET_SITE));
    }
}

#[test]
fn budgets_are_shown_with_what_is_spent_reserved_and_left() {
    let mut budget = budget([rule(shop(), Mode::Ask, Some(50))]);
    budget.reserve([1; 16], DAY, Some(site_id(SHOP)), ServiceKind::Http, amount(20)).expect("fits");
    budget.commit(&[1; 16], amount(20));
    budget.reserve([2; 16], DAY, Some(site_id(SHOP)), ServiceKind::Http, amount(7)).expect("fits");
    budget.reserve([3; 16], DAY, None, ServiceKind::Tor, amount(3)).expect("fits");
    let lines = budget.lines(DAY);
    let line = |target: &Target| {
        let line = lines.iter().find(|l| l.target == *target).expect("a line");
        [line.limit, line.spent, line.reserved, line.left].map(Stroops::get)
    };
    assert_eq!(line(&Target::All), [100, 20, 10, 70]);
    assert_eq!(line(&Target::Kind(ServiceKind::Tor)), [80, 0, 3, 77]);
    assert_eq!(line(&Target::Kind(ServiceKind::Http)), [90, 20, 7, 63]);
    assert_eq!(line(&shop()), [50, 20, 7, 23]);
    assert_eq!(lines.len(), 5);
    assert_eq!(budget.lines(DAY + 1)[0].spent, Stroops::ZERO, "a new day");
}

/// A site whose name could not be longer.
fn longest() -> String {
    let label = "a".repeat(63);
    let site = format!("{label}.{label}.{label}.{}:65535", "a".repeat(61));
    assert_eq!(site.len(), SITE_NAME_MAX);
    site
}

#[test]
fn a_rule_for_what_no_site_is_spelled_like_is_refused_and_told_the_right_spelling() {
    let mut policy = Policy::new(limits());
    let spelled = [
        "shop.example",
        "shop.example:8080",
        "shop.example:443",
        "a.b-c_d.example",
        "shop.example.",
        "localhost",
        "x:1",
        "127.0.0.1",
        "127.0.0.1:65535",
        "[2001:db8::1]",
        "[2001:db8::1]:8080",
        "xn--shp-tna.example",
        &longest(),
    ];
    for site in spelled {
        policy.set_rule(rule(Target::Site(site.into()), Mode::Auto, None)).unwrap_or_else(|e| panic!("{site}: {e}"));
        let url = url::Url::parse(&format!("http://{site}/a?b")).expect("an address");
        assert_eq!(site_name(&url).as_deref(), Some(site), "what is paid is looked up like this");
    }
    let wrong = [
        ("shop.example:80", Some("shop.example")),
        ("Shop.example", Some("shop.example")),
        ("shop.example:", Some("shop.example")),
        ("shop.example:08080", Some("shop.example:8080")),
        ("shop.example/a", Some("shop.example")),
        ("http://shop.example:81/a", Some("shop.example:81")),
        ("user@shop.example", Some("shop.example")),
        ("shöp.example", Some("xn--shp-tna.example")),
        ("shop%2eexample", Some("shop.example")),
        ("127.1", Some("127.0.0.1")),
        ("0x7f000001:80", Some("127.0.0.1")),
        ("2001:DB8::1", Some("[2001:db8::1]")),
        ("[2001:DB8:0::1]:80", Some("[2001:db8::1]")),
        ("https://shop.example", None),
        ("", None),
        (":80", None),
        ("*", None),
        ("*.example", None),
        ("*.example:81", None),
        ("a:b:c", None),
        ("127.0.0.1:99999", None),
        ("256.0.0.1", None),
        ("[::1", None),
        ("::1:8080:", None),
        ("shop .example", None),
        ("shop..example", None),
        (".example", None),
        ("~shop.example", None),
    ];
    let before = policy.clone();
    let too_long = [format!("a{}", longest()), "a".repeat(64)];
    let wrong = wrong.into_iter().chain(too_long.iter().map(|site| (site.as_str(), None)));
    for (site, right) in wrong {
        let error = policy.set_rule(rule(Target::Site(site.into()), Mode::Auto, None)).expect_err(site);
        assert_eq!(error.code, "MW-POL-2", "{site}");
        assert!(error.text.contains("shop.example:8080"), "it says how sites are spelled: {}", error.text);
        let told = error.text.rsplit_once("Here it is ").map(|(_, told)| told);
        assert_eq!(told, right.map(|right| format!("{right}.")).as_deref(), "{site}");
    }
    assert_eq!(policy, before);
}

#[test]
fn rules_that_cannot_be_meant_are_refused_with_their_code() {
    let mut policy = Policy::new(limits());
    let code = |policy: &mut Policy, rule: Rule| policy.set_rule(rule).expect_err("refused").code;
    assert_eq!(code(&mut policy, rule(Target::All, Mode::Auto, Some(1))), "MW-POL-3");
    assert_eq!(code(&mut policy, rule(Target::Kind(ServiceKind::Tor), Mode::Auto, Some(1))), "MW-POL-3");
    for n in 0..RULES_MAX {
        policy.set_rule(rule(Target::Site(format!("s{n}.example")), Mode::Ask, None)).expect("room");
    }
    assert_eq!(code(&mut policy, rule(shop(), Mode::Auto, None)), "MW-POL-4");
    policy.set_rule(rule(Target::Site("s7.example".into()), Mode::Never, None)).expect("replaces");
    assert_eq!((policy.rules.len(), policy.mode(ServiceKind::Http, Some("s7.example"))), (RULES_MAX, Mode::Never));
    assert!(policy.remove_rule(&Target::Site("s7.example".into())));
    assert!(!policy.remove_rule(&Target::Site("s7.example".into())));
    policy.set_rule(rule(Target::Site(longest()), Mode::Auto, None)).expect("the longest");
    let dear = Limits { fee_ceiling: amount((1 << 32) + 1), ..limits() };
    assert_eq!(dear.check().expect_err("refused").code, "MW-POL-7");
    assert_eq!(limits().check(), Ok(()));
}

#[test]
fn a_policy_is_read_back_from_its_row_as_it_was() {
    let rules = [rule(shop(), Mode::Ask, Some(5)), rule(Target::Kind(ServiceKind::Tor), Mode::Never, None)];
    let policy = Policy::new(limits()).with_rules(rules).expect("rules");
    let text = serde_json::to_string(&policy).expect("json");
    assert_eq!(serde_json::from_str::<Policy>(&text).expect("own json"), policy);
    let one = r#"{"target":{"site":"shop.example:8080"},"mode":"ask","day":5}"#;
    assert!(text.contains(one) && text.contains(r#"{"target":{"kind":"tor"},"mode":"never"}"#), "{text}");
}

fn word(approvals: &mut Approvals, now: u64, site: Option<&str>, stroops: u64) -> Word {
    let kind = if site.is_some() { ServiceKind::Http } else { ServiceKind::Tor };
    approvals.ask(now, 70 + stroops, &Wish { offer: &offer_of(kind), site, amount: amount(stroops) })
}

#[test]
fn a_yes_to_a_site_is_for_one_payment_of_what_was_shown() {
    let mut approvals = Approvals::default();
    assert_eq!(word(&mut approvals, 1, Some(SHOP), 10), Word::Awaited);
    let shown = approvals.waiting(1)[0].clone();
    assert_eq!((shown.amount, shown.site.as_deref(), shown.since), (amount(10), Some(SHOP), 1));
    assert_eq!(approvals.decide(2, shown.id, true), Some(shown.clone()));
    assert_eq!(approvals.decide(2, shown.id, true), None, "once");
    assert_eq!(word(&mut approvals, 3, Some(SHOP), 10), Word::Yes);
    assert_eq!(word(&mut approvals, 3, Some("other.example"), 10), Word::Awaited);
    assert_eq!(word(&mut approvals, 3, Some(SHOP), 11), Word::Awaited, "more than was shown");
    approvals.used(SHOP);
    assert_eq!(word(&mut approvals, 4, Some(SHOP), 10), Word::Awaited);
}

#[test]
fn a_payment_that_grew_since_it_was_shown_is_not_what_a_person_said_yes_to() {
    let mut approvals = Approvals::default();
    word(&mut approvals, 1, Some(SHOP), 10);
    let small = approvals.waiting(1)[0].id;
    word(&mut approvals, 2, Some(SHOP), 5);
    assert_eq!(approvals.waiting(2)[0].id, small, "less is still covered");
    word(&mut approvals, 3, Some(SHOP), 20);
    assert_eq!(approvals.waiting(3).len(), 1);
    assert_eq!(approvals.decide(3, small, true), None);
    assert_eq!(word(&mut approvals, 4, Some(SHOP), 20), Word::Awaited);
}

#[test]
fn a_no_holds_for_a_while_and_an_approval_that_nobody_asks_for_any_more_goes() {
    let mut approvals = Approvals::default();
    word(&mut approvals, 0, Some(SHOP), 10);
    let id = approvals.waiting(0)[0].id;
    approvals.decide(0, id, false);
    assert_eq!(word(&mut approvals, APPROVAL_MS - 1, Some(SHOP), 99), Word::No);
    assert_eq!(word(&mut approvals, APPROVAL_MS, Some(SHOP), 10), Word::Awaited);
    assert!(!approvals.waiting(2 * APPROVAL_MS - 1).is_empty());
    assert!(approvals.waiting(2 * APPROVAL_MS).is_empty());
}

#[test]
fn a_yes_to_the_relays_holds_until_the_day_ends() {
    let (mut approvals, noon) = (Approvals::default(), 86_400_000 * DAY + 43_200_000);
    assert_eq!(word(&mut approvals, noon, None, 10), Word::Awaited);
    let id = approvals.waiting(noon)[0].id;
    approvals.decide(noon, id, true);
    assert_eq!(word(&mut approvals, noon + 43_199_999, None, 1_000), Word::Yes);
    assert_eq!(word(&mut approvals, noon + 43_200_000, None, 1), Word::Awaited);
}

#[test]
fn only_so_many_payments_wait_for_a_person() {
    let mut approvals = Approvals::default();
    for n in 0..APPROVALS_MAX {
        assert_eq!(word(&mut approvals, 1, Some(&format!("s{n}.example")), 1), Word::Awaited);
    }
    assert_eq!(word(&mut approvals, 1, Some(SHOP), 1), Word::Full);
    assert_eq!(word(&mut approvals, 1, Some("s3.example"), 1), Word::Awaited);
    assert_eq!(approvals.waiting(1).len(), APPROVALS_MAX);
}

/// A node that has paid, with plenty of everything.
fn facts() -> Facts {
    Facts {
        now_ms: 10_000_000,
        tor_up: true,
        credit_left: true,
        purse: Purse {
            own: 0,
            asset: Some(amount(1_000)),
            native: Some(1_000),
            seen_ms: 9_990_000,
            in_escrows: amount(50),
            paid: true,
            deposit: amount(100),
            escrow_native: 250,
            deaf_since_ms: 0,
        },
        day_use: amount(20),
        budget: amount(100),
        budget_left: amount(80),
        no_circuit: false,
    }
}

fn state(change: impl FnOnce(&mut Facts)) -> AccountState {
    let mut facts = facts();
    change(&mut facts);
    let account = Account::of(&facts);
    assert!(!account.text.is_empty());
    assert_eq!(
        account.advice.is_empty(),
        matches!(account.state, AccountState::Paying) && !facts.no_circuit || {
            account.state == AccountState::Trial && account.text.contains("by itself")
        }
    );
    account.state
}

#[test]
fn an_account_with_enough_of_everything_is_paying() {
    assert_eq!(state(|_| ()), AccountState::Paying);
    assert_eq!(state(|f| f.no_circuit = true), AccountState::Paying);
    assert_eq!(Account::of(&facts()).spendable, Some(amount(1_050)));
}

#[test]
fn a_node_that_never_paid_is_on_trial_while_its_free_windows_last() {
    let new = |f: &mut Facts| (f.purse.paid, f.purse.in_escrows) = (false, Stroops::ZERO);
    assert_eq!(state(new), AccountState::Trial);
    let poor = |f: &mut Facts| {
        new(f);
        f.purse.asset = Some(Stroops::ZERO);
    };
    assert_eq!(state(poor), AccountState::Trial);
    let used_up = |f: &mut Facts| {
        poor(f);
        f.credit_left = false;
    };
    assert_eq!(state(used_up), AccountState::OutOfFundsAsset);
    assert_eq!(
        state(|f| {
            used_up(f);
            f.purse.asset = Some(amount(100));
        }),
        AccountState::Trial,
        "topped up"
    );
}

#[test]
fn the_two_assets_are_told_apart_when_one_is_gone() {
    let empty = |f: &mut Facts| f.purse.in_escrows = Stroops::ZERO;
    assert_eq!(
        state(|f| {
            empty(f);
            f.purse.asset = Some(amount(99));
        }),
        AccountState::OutOfFundsAsset
    );
    assert_eq!(
        state(|f| {
            empty(f);
            f.purse.native = Some(249);
        }),
        AccountState::OutOfFundsNative
    );
    let both = |f: &mut Facts| {
        empty(f);
        (f.purse.asset, f.purse.native) = (Some(Stroops::ZERO), Some(0));
    };
    assert_eq!(state(both), AccountState::OutOfFundsNative, "an account is made with the native asset first");
    assert_eq!(state(empty), AccountState::Paying, "the next escrow is paid for");
}

#[test]
fn what_is_in_an_open_escrow_keeps_an_account_that_is_empty_from_being_out_of_funds() {
    assert_eq!(state(|f| f.purse.asset = Some(Stroops::ZERO)), AccountState::Low);
    assert_eq!(state(|f| f.purse.native = Some(0)), AccountState::Low);
}

#[test]
fn low_is_less_than_a_deposit_or_than_three_days_of_recent_use_or_a_tenth_of_the_budget() {
    assert_eq!(LOW_DAYS, 3);
    assert_eq!(state(|f| f.purse.asset = Some(amount(49))), AccountState::Low);
    assert_eq!(state(|f| f.purse.asset = Some(amount(50))), AccountState::Paying);
    assert_eq!(state(|f| f.day_use = amount(350)), AccountState::Paying);
    assert_eq!(state(|f| f.day_use = amount(351)), AccountState::Low);
    assert_eq!(state(|f| f.budget_left = amount(11)), AccountState::Paying);
    assert_eq!(state(|f| f.budget_left = amount(10)), AccountState::Low);
}

#[test]
fn a_ledger_that_is_silent_for_minutes_or_a_tor_without_circuits_is_offline_and_an_answer_ends_it() {
    assert_eq!(state(|f| f.tor_up = false), AccountState::Offline);
    let since = facts().now_ms - OFFLINE_MS;
    assert_eq!(state(|f| f.purse.deaf_since_ms = since), AccountState::Offline);
    assert_eq!(state(|f| f.purse.deaf_since_ms = since + 1), AccountState::Paying);
    assert_eq!(state(|f| f.purse.deaf_since_ms = 0), AccountState::Paying);
    let broke = |f: &mut Facts| (f.purse.deaf_since_ms, f.purse.in_escrows) = (since, Stroops::ZERO);
    assert_eq!(state(broke), AccountState::Offline, "nobody knows what is there");
}

#[test]
fn nothing_is_said_of_funds_before_the_first_look() {
    let unseen = |f: &mut Facts| (f.purse.asset, f.purse.native, f.purse.in_escrows) = (None, None, Stroops::ZERO);
    assert_eq!(state(unseen), AccountState::Paying);
    assert_eq!(
        state(|f| {
            unseen(f);
            f.purse.paid = false;
        }),
        AccountState::Trial
    );
}
