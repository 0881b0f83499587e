//! CSV (RFC 4180) that spreadsheets may open: names of strangers become no formulas.

/// What a spreadsheet takes for the beginning of a formula, wide forms included (OWASP, "CSV Injection").
const FORMULA: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '＝', '＋', '－', '＠'];

/// One field: quoted where it has to be, and with an apostrophe before what would begin a formula.
pub fn field(text: &str) -> String {
    let guard = if text.starts_with(FORMULA) { "'" } else { "" };
    if guard.is_empty() && !text.contains([',', '"', '\n', '\r']) {
        return text.to_owned();
    }
    format!("\"{guard}{}\"", text.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields_of_strangers_are_quoted_and_no_formulas() {
        assert_eq!(field("plain memo"), "plain memo");
        assert_eq!(field("a,b"), "\"a,b\"");
        assert_eq!(field("say \"hi\""), "\"say \"\"hi\"\"\"");
        for formula in ["=1+1", "+1", "-1", "@SUM(A1)", "\t=1", "\r=1", "＝1"] {
            assert_eq!(field(formula), format!("\"'{formula}\""));
        }
        assert_eq!(field(""), "");
    }
}
