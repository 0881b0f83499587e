//! Who may be paid without asking: rules for everything, for a kind of service, for one site.
use super::Limits;
use super::site::site_meant;
use crate::error::{Error, Result};
use crate::gateway::core::message::ServiceKind;
use crate::units::Stroops;
use serde::{Deserialize, Serialize};

/// Rules of one wallet, at most.
pub const RULES_MAX: usize = 1_024;

/// What happens to a payment that is inside ceilings and budgets.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Mode {
    /// It is made.
    #[default]
    Auto,
    /// A person is asked first.
    Ask,
    /// It is refused.
    Never,
}

/// What a rule is about; of two that fit, the later one here counts.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// Everything.
    All,
    /// One kind of service.
    Kind(ServiceKind),
    /// One site, spelled as by [`site_name`](super::site_name).
    Site(String),
}

/// One rule.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// What it is about.
    pub target: Target,
    /// What happens.
    pub mode: Mode,
    /// For a site: its budget per day in the place of `Limits::site`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub day: Option<Stroops>,
}

/// Limits and rules in force.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Ceilings and budgets.
    pub limits: Limits,
    /// Sorted by target, one for each, at most `RULES_MAX`.
    pub rules: Vec<Rule>,
}

/// What must outlive the process: what is in force, and the configuration that it was made from. A configuration that
/// was changed since goes before what was set while running.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PolicyRow {
    /// As the configuration said.
    pub configured: Policy,
    /// In force.
    pub current: Policy,
}

impl Rule {
    /// `MW-POL-2`: a name that no site has, with the right one where it can be told; `MW-POL-3`: a budget for something else than a site.
    pub fn check(&self) -> Result<()> {
        match &self.target {
            Target::Site(site) => match site_meant(site) {
                Some(right) if right == *site => Ok(()),
                meant => Err(no_site(meant)),
            },
            Target::All | Target::Kind(_) if self.day.is_some() => {
                let text = "Only the rule of a site has a budget of its own; the others stand in the limits.";
                Err(Error::never("MW-POL-3", text))
            }
            _ => Ok(()),
        }
    }
}

impl Policy {
    /// Limits alone: everything inside them is paid without asking.
    pub fn new(limits: Limits) -> Self {
        Policy { limits, rules: Vec::new() }
    }

    /// The same with these rules; of two for one target the later one counts. Errors: [`Policy::set_rule`].
    pub fn with_rules(mut self, rules: impl IntoIterator<Item = Rule>) -> Result<Self> {
        rules.into_iter().try_for_each(|rule| self.set_rule(rule))?;
        Ok(self)
    }

    /// Adds a rule or replaces the one for the same target. `MW-POL-2`, `MW-POL-3`: see [`Rule::check`]; `MW-POL-4`:
    /// there are too many.
    pub fn set_rule(&mut self, rule: Rule) -> Result<()> {
        rule.check()?;
        match self.find(&rule.target) {
            Ok(at) => self.rules[at] = rule,
            Err(_) if self.rules.len() >= RULES_MAX => {
                let text = format!("There are {RULES_MAX} rules already; remove one first.");
                return Err(Error::never("MW-POL-4", text));
            }
            Err(at) => self.rules.insert(at, rule),
        }
        Ok(())
    }

    /// False when there was none for this target.
    pub fn remove_rule(&mut self, target: &Target) -> bool {
        self.find(target).map(|at| self.rules.remove(at)).is_ok()
    }

    /// What happens to payments of this kind, to this site.
    pub fn mode(&self, kind: ServiceKind, site: Option<&str>) -> Mode {
        let site = site.and_then(|site| self.rule(&Target::Site(site.into())));
        let rule = site.or_else(|| self.rule(&Target::Kind(kind))).or_else(|| self.rule(&Target::All));
        rule.map_or(Mode::Auto, |rule| rule.mode)
    }

    /// A site's budget per day.
    pub fn site_day(&self, site: &str) -> Stroops {
        self.rule(&Target::Site(site.into())).and_then(|rule| rule.day).unwrap_or(self.limits.site)
    }

    /// The rule for exactly this target.
    pub fn rule(&self, target: &Target) -> Option<&Rule> {
        self.find(target).ok().map(|at| &self.rules[at])
    }

    fn find(&self, target: &Target) -> Result<usize, usize> {
        self.rules.binary_search_by(|rule| rule.target.cmp(target))
    }
}

/// A rule that no site would ever be found under.
fn no_site(meant: Option<String>) -> Error {
    let here = meant.map_or(String::new(), |right| format!(" Here it is {right}."));
    let text = "The site of a rule is spelled as it is paid, host[:port]: the host in lower case (punycode for other \
                letters than ASCII), the port unless it is 80, as in shop.example, shop.example:8080, 192.0.2.1 or \
                [2001:db8::1]:8080. There are no patterns.";
    Error::never("MW-POL-2", format!("{text}{here}"))
}
