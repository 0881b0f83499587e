//! One measured figure, as a line for programs and as a row for people (pure).
use super::arms::Samples;
use serde::Serialize;
use std::fmt::Write;

/// How a ratio stands to the ratios of the base line to itself, taken in the same rounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// Between the least and the greatest of them: no difference that this run could see.
    Inside,
    /// Beyond them on the good side.
    Better,
    /// Beyond them on the bad side.
    Worse,
}

/// Which way is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Good {
    /// More is better.
    Higher,
    /// Less is better.
    Lower,
}

/// One figure.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Figure {
    /// Which program of measurements.
    pub bench: &'static str,
    /// Its name, kept over the years.
    pub measure: String,
    /// Median of `runs`.
    pub value: f64,
    /// `ratio`, `ms`, `MiB/s`, ….
    pub unit: &'static str,
    /// Which way is good.
    pub better: Good,
    /// What it should be; none for figures that only inform.
    pub goal: Option<f64>,
    /// One of each round.
    pub runs: Vec<f64>,
    /// What it is measured against.
    pub baseline: String,
    /// What a reader must know to repeat it.
    pub setup: String,
    /// For a ratio with an A/A partner: least and greatest of the base line over itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub aa_spread: Option<[f64; 2]>,
    /// For the same: how it stands to them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub against_aa: Option<Verdict>,
}

impl Figure {
    /// The median of `runs` under a name; none without runs.
    pub fn of(measure: &str, unit: &'static str, better: Good, goal: Option<f64>, runs: &[f64]) -> Option<Self> {
        let runs: Vec<f64> = runs.iter().map(|r| rounded(*r)).collect();
        Some(Figure {
            bench: "tor",
            measure: measure.into(),
            value: rounded(median(&runs)?),
            unit,
            better,
            goal,
            runs,
            baseline: String::new(),
            setup: String::new(),
            aa_spread: None,
            against_aa: None,
        })
    }

    /// The same, beside ratios of the base line to itself.
    pub fn beside(mut self, aa: &[f64]) -> Self {
        let low = rounded(aa.iter().copied().fold(f64::INFINITY, f64::min));
        let high = rounded(aa.iter().copied().fold(f64::NEG_INFINITY, f64::max));
        if low.is_finite() && high.is_finite() {
            self.aa_spread = Some([low, high]);
            self.against_aa = Some(match (self.value < low, self.value > high, self.better) {
                (false, false, _) => Verdict::Inside,
                (true, _, Good::Lower) | (_, true, Good::Higher) => Verdict::Better,
                _ => Verdict::Worse,
            });
        }
        self
    }

    /// Whether the goal is met: for a ratio with an A/A partner, that it is not worse than that; none without a goal.
    pub fn met(&self) -> Option<bool> {
        let goal = self.goal?;
        Some(match (self.against_aa, self.better) {
            (Some(verdict), _) => verdict != Verdict::Worse,
            (None, Good::Higher) => self.value >= goal,
            (None, Good::Lower) => self.value <= goal,
        })
    }
}

/// Ratios of one measure from samples of all sides, round by round: ours over the base line, ours over upstream's
/// sources in our build (`_over_pristine_`), the base line over itself (`_aa`).
pub fn against(name: &str, better: Good, samples: &Samples) -> Vec<Figure> {
    let over = |a: &[f64], b: &[f64]| -> Vec<f64> {
        a.iter().zip(b).filter(|(_, b)| **b > 0.0).map(|(a, b)| a / b).filter(|r| r.is_finite()).collect()
    };
    let aa = over(&samples.again, &samples.stock);
    let beside = |suffix: &str, runs: &[f64]| {
        Figure::of(&format!("{name}{suffix}"), "ratio", better, Some(1.0), runs).map(|f| f.beside(&aa))
    };
    let ratio = beside("_ratio", &over(&samples.ours, &samples.stock));
    let pristine = beside("_over_pristine_ratio", &over(&samples.ours, &samples.pristine));
    let aa = Figure::of(&format!("{name}_ratio_aa"), "ratio", better, None, &aa);
    ratio.into_iter().chain(pristine).chain(aa).collect()
}

/// The middle one, of an even number the mean of the middle two; none of none.
pub fn median(values: &[f64]) -> Option<f64> {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let upper = *sorted.get(sorted.len() / 2)?;
    let lower = *sorted.get(sorted.len().checked_sub(1)? / 2)?;
    Some(f64::midpoint(lower, upper))
}

/// Four decimals are more than any of these figures can carry.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

/// The figures as a table; goal beside value.
pub fn table(figures: &[Figure]) -> String {
    let mut text = format!(
        "{:<28} {:>10} {:<8} {:>6} {:<6} {:<17} runs\n",
        "measure", "value", "unit", "goal", "met", "A/A spread"
    );
    for f in figures {
        let goal = f.goal.map_or_else(|| "-".into(), |g| g.to_string());
        let met = f.met().map_or("-", |met| if met { "yes" } else { "NO" });
        let spread = match (f.aa_spread, f.against_aa) {
            (Some([low, high]), Some(Verdict::Inside)) => format!("{low:.2}-{high:.2} in"),
            (Some([low, high]), Some(_)) => format!("{low:.2}-{high:.2} out"),
            _ => "-".into(),
        };
        let runs: Vec<_> = f.runs.iter().map(|r| format!("{r:.3}")).collect();
        // Writing to a String cannot fail.
        let _ = writeln!(
            text,
            "{:<28} {:>10.4} {:<8} {goal:>6} {met:<6} {spread:<17} {}",
            f.measure,
            f.value,
            f.unit,
            runs.join(" ")
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_median_is_the_middle() {
        assert_eq!(median(&[]), None);
        assert_eq!(median(&[3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }

    #[test]
    fn a_ratio_is_judged_by_the_base_line_over_itself() {
        let judge = |better, ours: f64| {
            let samples = Samples {
                ours: vec![ours; 3],
                pristine: vec![2.0; 3],
                stock: vec![1.0; 3],
                again: vec![0.9, 1.0, 1.1],
            };
            let figures = against("x", better, &samples);
            assert_eq!((figures.len(), figures[2].measure.as_str()), (3, "x_ratio_aa"));
            assert_eq!((figures[1].measure.as_str(), figures[1].value), ("x_over_pristine_ratio", ours / 2.0));
            (figures[0].against_aa.expect("has a partner"), figures[0].met().expect("has a goal"))
        };
        assert_eq!(judge(Good::Higher, 0.95), (Verdict::Inside, true));
        assert_eq!(judge(Good::Higher, 0.85), (Verdict::Worse, false));
        assert_eq!(judge(Good::Higher, 1.2), (Verdict::Better, true));
        assert_eq!(judge(Good::Lower, 1.2), (Verdict::Worse, false));
        assert_eq!(judge(Good::Lower, 0.5), (Verdict::Better, true));
    }

    #[test]
    fn the_line_for_programs_has_the_agreed_fields() {
        let figure = Figure::of("payments_settled", "payments", Good::Higher, None, &[5.0, 6.0, 5.0]).expect("runs");
        let line = serde_json::to_value(&figure).expect("JSON");
        for field in ["bench", "measure", "value", "unit", "better", "goal", "runs", "baseline", "setup"] {
            assert!(line.get(field).is_some(), "{field}");
        }
        assert_eq!((&line["value"], &line["better"]), (&5.0.into(), &"higher".into()));
    }
}
