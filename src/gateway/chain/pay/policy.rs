//! What a person sets and sees of the policy.
use super::Pay;
use crate::error::{Error, Result};
use crate::gateway::core::policy::{Mode, Policy, PolicyAsk, PolicyRow, PolicyView, Rule, Target};
use crate::gateway::port::{Answer, Out, Row};

impl Pay {
    /// Goes on with what was set while the last process ran, unless the configuration was changed since: then that
    /// counts, `configured`.
    pub fn with_policy(mut self, configured: Policy, kept: Option<PolicyRow>) -> Self {
        let kept = kept.filter(|row| row.configured == configured).map(|row| row.current);
        self.budget.set_policy(kept.unwrap_or_else(|| configured.clone()));
        self.configured = configured;
        self
    }

    /// Shows the policy, changes it, or takes a person's word on a payment that waits.
    pub fn on_policy(&mut self, now: u64, ask: PolicyAsk, out: &mut Out) -> Answer {
        match self.change(now, ask, out) {
            Ok(()) => Answer::Policy(Box::new(self.view(now))),
            Err(error) => Answer::Unchanged(error),
        }
    }

    fn change(&mut self, now: u64, ask: PolicyAsk, out: &mut Out) -> Result<()> {
        let mut policy = self.budget.policy().clone();
        match ask {
            PolicyAsk::Get => return Ok(()),
            PolicyAsk::SetLimits(limits) => {
                limits.check()?;
                policy.limits = *limits;
            }
            PolicyAsk::SetRule(rule) => {
                policy.set_rule(rule)?;
                self.approvals.clear();
            }
            PolicyAsk::RemoveRule(target) => {
                if !policy.remove_rule(&target) {
                    return Err(Error::never("MW-POL-5", "There is no rule for this target."));
                }
                self.approvals.clear();
            }
            PolicyAsk::Decide { approval, allow, remember } => {
                let gone = || Error::never("MW-POL-6", "This payment waits no longer; look at the list again.");
                let about = self.approvals.waiting(now).iter().find(|a| a.id == approval).cloned().ok_or_else(gone)?;
                if remember {
                    let target = about.site.map_or(Target::Kind(about.kind), Target::Site);
                    let day = policy.rule(&target).and_then(|rule| rule.day);
                    policy.set_rule(Rule { target, mode: if allow { Mode::Auto } else { Mode::Never }, day })?;
                }
                self.approvals.decide(now, approval, allow);
            }
        }
        if &policy != self.budget.policy() {
            self.budget.set_policy(policy.clone());
            let row = PolicyRow { configured: self.configured.clone(), current: policy };
            out.rows.push(Row::Policy(Box::new(row)));
        }
        Ok(())
    }

    fn view(&mut self, now: u64) -> PolicyView {
        let day = day_of(now);
        PolicyView {
            policy: self.budget.policy().clone(),
            day,
            budgets: self.budget.lines(day),
            approvals: self.approvals.waiting(now).to_vec(),
            account: self.account.clone(),
        }
    }
}

/// Days since 1970, UTC.
pub(super) fn day_of(now_ms: u64) -> u64 {
    now_ms / 86_400_000
}
