//! The encoding of a program's file, as Python declares it: <https://docs.python.org/3/reference/lexical_analysis.html#encoding-declarations>.

use encoding_rs::Encoding;

/// Returns the text of a program's file: in the encoding that its first or second line declares, else UTF-8.
///
/// # Errors
/// The encoding is not known, or the file is not in it: what Python says.
pub(super) fn decode(bytes: Vec<u8>) -> Result<String, String> {
    match declared(&bytes) {
        None => String::from_utf8(bytes).map_err(|error| {
            let at = error.utf8_error().valid_up_to();
            let byte = error.as_bytes().get(at).copied().unwrap_or_default();
            format!("Non-UTF-8 code starting with '\\x{byte:02x}', but no encoding declared; see PEP 263")
        }),
        Some(name) => {
            let label = name.to_ascii_lowercase().replace('_', "-");
            match label.as_str() {
                "latin-1" | "latin1" | "iso-8859-1" | "iso8859-1" | "l1" => {
                    Ok(bytes.into_iter().map(char::from).collect())
                }
                _ => {
                    let label = label.strip_prefix("cp12").map_or(label.clone(), |page| format!("windows-12{page}"));
                    let found =
                        Encoding::for_label(label.as_bytes()).ok_or_else(|| format!("unknown encoding: {name}"))?;
                    let text = found.decode_without_bom_handling_and_without_replacement(&bytes);
                    text.map(Into::into).ok_or_else(|| format!("it is not in the encoding {name}, which it declares"))
                }
            }
        }
    }
}

/// Returns the encoding that the first line names, or the second after one without code.
fn declared(bytes: &[u8]) -> Option<String> {
    for line in bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes).split(|byte| *byte == b'\n').take(2) {
        let comment = line.trim_ascii_start();
        if !matches!(comment, [] | [b'#', ..]) {
            return None;
        }
        if let Some(name) = named_in(comment) {
            return Some(name);
        }
    }
    None
}

/// Returns the name after the first `coding:` or `coding=` of a comment.
fn named_in(comment: &[u8]) -> Option<String> {
    const WORD: &[u8] = b"coding";
    let is_of_name = |byte: &u8| byte.is_ascii_alphanumeric() || b"-_.".contains(byte);
    (0..comment.len()).find_map(|at| {
        let rest = comment[at..].strip_prefix(WORD)?;
        let [b':' | b'=', name @ ..] = rest else { return None };
        let name: Vec<u8> = name.trim_ascii_start().iter().copied().take_while(is_of_name).collect();
        String::from_utf8(name).ok().filter(|name| !name.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_read_in_the_encoding_that_it_declares() {
        for (bytes, expected) in [
            (&b"print('\xC3\xA9')"[..], Ok("print('é')")),
            (b"# -*- coding: latin-1 -*-\nprint('\xE9')", Ok("# -*- coding: latin-1 -*-\nprint('é')")),
            (
                b"#!/usr/bin/python\n# vim: set fileencoding=cp1251 :\n'\xCF'",
                Ok("#!/usr/bin/python\n# vim: set fileencoding=cp1251 :\n'П'"),
            ),
            (b"\xEF\xBB\xBF# coding: utf_8\n'\xC3\xA9'", Ok("\u{feff}# coding: utf_8\n'é'")),
            (b"#coding=shift_jis\n'\x83\x65'", Ok("#coding=shift_jis\n'テ'")),
            (b"x = 1\n# coding: latin-1\n'\xC3\xA9'", Ok("x = 1\n# coding: latin-1\n'é'")),
            (b"'\xE9'", Err("Non-UTF-8 code starting with '\\xe9', but no encoding declared; see PEP 263")),
            (b"# coding: nosuch\n", Err("unknown encoding: nosuch")),
            (b"# coding: utf-8\n'\xE9'", Err("it is not in the encoding utf-8, which it declares")),
        ] {
            assert_eq!(decode(bytes.to_vec()), expected.map(str::to_owned).map_err(str::to_owned));
        }
    }
}
