//! Comments of a project file outlive its being written anew: each goes back in front of the line that it stood before,
//! or into the file's head where that line is no more.

/// The text `new` with the comments of `old`.
pub(super) fn carry(old: &str, new: &str) -> String {
    let mut waiting: Vec<String> = Vec::new();
    let mut head: Vec<String> = Vec::new();
    let mut seen: Vec<String> = Vec::new();
    // Each comment with the key of the line below it, and which of that key's lines it is.
    let mut notes: Vec<(Vec<String>, String, usize)> = Vec::new();
    for line in old.lines() {
        let (code, comment) = split(line);
        let code = code.trim();
        waiting.extend(comment.map(|comment| comment.trim_end().to_owned()));
        if code.is_empty() {
            continue;
        }
        let key = key(code);
        let number = seen.iter().filter(|own| **own == key).count();
        if !waiting.is_empty() {
            let comments = std::mem::take(&mut waiting);
            // What stands above the first line is about the whole file.
            if seen.is_empty() { head.extend(comments) } else { notes.push((comments, key.clone(), number)) }
        }
        seen.push(key);
    }
    let mut lines: Vec<String> = new.lines().map(str::to_owned).collect();
    for (comments, key, number) in notes.into_iter().rev() {
        let same = |line: &String| {
            let (code, _) = split(line);
            self::key(code.trim()) == key
        };
        let place =
            lines.iter().enumerate().filter(|(_, line)| same(line)).nth(number).map(|(place, _)| place);
        match place {
            Some(place) => {
                let indent: String = lines[place].chars().take_while(|c| c.is_whitespace()).collect();
                let above = comments.into_iter().map(|comment| format!("{indent}{comment}"));
                lines.splice(place..place, above);
            }
            None => head.extend(comments),
        }
    }
    head.extend(waiting);
    head.extend(lines);
    head.join("\n") + "\n"
}

/// What a line is about: the name before its colon, or all of it.
fn key(code: &str) -> String {
    let name = code.split_once(':').map_or(code, |(name, _)| name);
    name.trim().to_owned()
}

/// A line's code and its comment, slashes included.
fn split(line: &str) -> (&str, Option<&str>) {
    let mut quoted = false;
    let mut before = ' ';
    for (at, c) in line.char_indices() {
        match c {
            '"' if before != '\\' => quoted = !quoted,
            '/' if !quoted && before == '/' => return (&line[..at - 1], Some(&line[at - 1..])),
            _ => {}
        }
        before = c;
    }
    (line, None)
}

#[cfg(test)]
mod tests {
    use super::carry;

    #[test]
    fn comments_stay_with_their_lines() {
        let old = "// What this is for.\n(\n    name: \"a\",\n    // Twice as many as before.\n    batch: 8, // fits\n    \
                   path: \"ws://host\",\n    // of the second\n    batch: 9,\n)\n";
        let new = "(\n  name: \"b\",\n  batch: 16,\n  path: \"ws://host\",\n  batch: 9,\n)\n";
        let expected = "// What this is for.\n(\n  name: \"b\",\n  // Twice as many as before.\n  // fits\n  \
                        batch: 16,\n  path: \"ws://host\",\n  // of the second\n  batch: 9,\n)\n";
        assert_eq!(carry(old, new), expected);
        assert_eq!(carry(&carry(old, new), new), expected, "written twice, they stand once");
    }

    #[test]
    fn a_comment_whose_line_is_gone_goes_to_the_head() {
        assert_eq!(carry("(\n  // why\n  gone: 1,\n)\n", "(\n  kept: 2,\n)\n"), "// why\n(\n  kept: 2,\n)\n");
        assert_eq!(carry("( name: 1 )\n// the end", "(\n)\n"), "// the end\n(\n)\n");
    }
}
