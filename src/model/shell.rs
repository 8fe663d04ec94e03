//! Words of commands that are shown to be run: quoted where a shell would read something else.

use std::borrow::Cow;

/// A word as a POSIX shell reads it again: in single quotes if a character in it means something to a shell.
pub fn quoted(word: &str) -> Cow<'_, str> {
    let plain = |letter: char| letter.is_alphanumeric() || "/._-+:@,%=".contains(letter);
    if !word.is_empty() && word.chars().all(plain) {
        return Cow::Borrowed(word);
    }
    // A quote ends the quoted part, stands escaped by itself, and begins the next one.
    Cow::Owned(format!("'{}'", word.replace('\'', r"'\''")))
}

#[cfg(test)]
mod tests {
    use std::process::Command;

    use super::*;

    #[test]
    fn words_that_mean_nothing_to_a_shell_stay_as_they_are() {
        for word in ["/srv/backup", "sftp://me@friend.example:2222/srv/backup", "s3://bucket/hosts", "w.key", "/srv/Über"] {
            assert_eq!(quoted(word), word);
        }
        assert_eq!(
            quoted("s3://b/hosts?endpoint=http://nas:3900&provider=garage"),
            "'s3://b/hosts?endpoint=http://nas:3900&provider=garage'"
        );
    }

    #[test]
    fn a_shell_reads_every_word_as_it_was() {
        for word in
            ["", "a b", "it's", "''", "/r#hb1x", "~/x", "$HOME", "`id`", "a\\b", "*", "a;b|c>d", "s3://b?x=1&y=2", "zeile\nzwei", "a{b,c}"]
        {
            let output = Command::new("sh").arg("-c").arg(format!("printf %s {}", quoted(word))).output().unwrap();
            assert_eq!(String::from_utf8(output.stdout).unwrap(), word);
        }
    }
}
