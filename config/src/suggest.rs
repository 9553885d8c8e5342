//! "Did you mean": the nearest of the names there are.

/// The name nearest to what was written, if it is near enough to be a slip.
pub(crate) fn nearest<'a>(
    written: &str,
    names: impl IntoIterator<Item = &'a str>,
) -> Option<&'a str> {
    let written = written.to_lowercase().replace('-', "_");
    // Nobody slips by more than a third; and the cost of comparing stays bounded.
    let allowed = (written.chars().count() / 3).max(1);
    if written.len() > 64 {
        return None;
    }
    let possible = |name: &&str| name.len().abs_diff(written.len()) <= allowed;
    let distance = |name: &str| distance(&written, &name.to_lowercase().replace('-', "_"));
    let near = names.into_iter().filter(possible).map(|name| (distance(name), name));
    near.filter(|(d, _)| *d <= allowed).min_by_key(|(d, _)| *d).map(|(_, name)| name)
}

/// Insertions, deletions, replacements and exchanges of neighbours between two words
/// (Damerau-Levenshtein, optimal string alignment).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    let mut older: Vec<usize> = Vec::new();
    let mut before = None;
    for (i, x) in a.chars().enumerate() {
        let mut next = vec![i + 1];
        let mut left = i + 1;
        for (j, (y, pair)) in b.iter().zip(row.windows(2)).enumerate() {
            let &[diagonal, above] = pair else { continue };
            let mut cost = (diagonal + usize::from(x != *y)).min(above + 1).min(left + 1);
            let crossed = before == Some(*y) && j.checked_sub(1).and_then(|k| b.get(k)) == Some(&x);
            if let (true, Some(exchanged)) = (crossed, j.checked_sub(1).and_then(|k| older.get(k)))
            {
                cost = cost.min(exchanged + 1);
            }
            next.push(cost);
            left = cost;
        }
        older = std::mem::replace(&mut row, next);
        before = Some(x);
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, d) in
            [("", "", 0), ("", "ab", 2), ("idle", "idle", 0), ("idel", "idle", 1), ("ca", "abc", 3)]
        {
            assert_eq!(distance(a, b), d, "{a} {b}");
        }
        assert_eq!(distance("max_conections", "max_connections"), 1);
    }

    #[test]
    fn only_slips_get_a_suggestion() {
        let names = ["idle", "starttls", "direct_tls"];
        assert_eq!(nearest("Idle", names), Some("idle"));
        assert_eq!(nearest("start-tls", names), Some("starttls"));
        assert_eq!(nearest("direct", names), None);
        assert_eq!(nearest("x", names), None);
        assert_eq!(nearest(&"x".repeat(1000), names), None);
    }
}
