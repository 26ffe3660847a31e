//! TypeScript as JavaScript.

use std::path::{Path, PathBuf};

use oxc_allocator::Allocator;
use oxc_codegen::{Codegen, CodegenOptions};
use oxc_parser::{ParseOptions, Parser};
use oxc_semantic::SemanticBuilder;
use oxc_span::SourceType;
use oxc_transformer::{
    DecoratorOptions, HelperLoaderMode, HelperLoaderOptions, TransformOptions, Transformer, TypeScriptOptions,
};

use crate::nested::guarded;
use crate::source_positions::{Mapping, SourcePositions};

/// Why a program is not valid TypeScript.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {message}")]
pub struct SyntaxError {
    pub message: String,
    /// From 1.
    pub line: u32,
    /// From 1.
    pub column: u32,
}

/// Which imports a translation keeps.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Imports {
    /// Those whose names are used as values: the others import types.
    Used,
    /// All but `import type`: another cell may use them.
    All,
}

/// A program as JavaScript.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Translated {
    pub code: String,
    positions: SourcePositions,
}

impl Translated {
    /// Returns the line and column in the source of a place in the code; all count from 1.
    pub fn source_position(&self, line: u32, column: u32) -> (u32, u32) {
        self.positions.source(line, column)
    }
}

/// Translates TypeScript: types are removed; enums, namespaces, decorators and parameter properties become what the
/// official compiler makes of them. Types are not checked. JSX is refused.
///
/// # Errors
/// The program is not valid TypeScript, or it is nested too deeply to be read.
pub fn to_javascript(source: &str, imports: Imports) -> Result<Translated, SyntaxError> {
    guarded(source, || translate(source, imports))
        .unwrap_or_else(|reason| Err(SyntaxError { message: reason.to_owned(), line: 1, column: 1 }))
}

fn translate(source: &str, imports: Imports) -> Result<Translated, SyntaxError> {
    let allocator = Allocator::default();
    let kind = SourceType::ts().with_unambiguous(true);
    let options = ParseOptions { allow_return_outside_function: true, ..ParseOptions::default() };
    let mut parsed = Parser::new(&allocator, source, kind).with_options(options).parse();
    if !parsed.diagnostics.is_empty() {
        // Await at the top level makes a module of a program that has no other sign of one.
        let module = Parser::new(&allocator, source, SourceType::ts()).with_options(options).parse();
        if module.diagnostics.is_empty() {
            parsed = module;
        }
    }
    if let Some(first) = parsed.diagnostics.iter().next() {
        return Err(error(source, first));
    }
    let mut program = parsed.program;
    let analysed = SemanticBuilder::new().with_excess_capacity(2.0).with_enum_eval(true).build(&program);
    if let Some(first) = analysed.diagnostics.iter().next() {
        return Err(error(source, first));
    }
    let options = TransformOptions {
        typescript: TypeScriptOptions {
            only_remove_type_imports: imports == Imports::All,
            allow_namespaces: true,
            allow_declare_fields: true,
            ..TypeScriptOptions::default()
        },
        decorator: DecoratorOptions { legacy: true, ..DecoratorOptions::default() },
        helper_loader: HelperLoaderOptions { mode: HelperLoaderMode::External, ..HelperLoaderOptions::default() },
        ..TransformOptions::default()
    };
    let transformed = Transformer::new(&allocator, Path::new("program.ts"), &options)
        .build_with_scoping(analysed.semantic.into_scoping(), &mut program);
    if let Some(first) = transformed.diagnostics.iter().next() {
        return Err(error(source, first));
    }
    let options = CodegenOptions { source_map_path: Some(PathBuf::from("program.ts")), ..CodegenOptions::default() };
    let printed = Codegen::new().with_options(options).build(&program);
    let mappings = printed.map.map_or_else(Vec::new, |map| {
        map.get_tokens()
            .map(|token| Mapping {
                line: token.get_dst_line(),
                column: token.get_dst_col(),
                source_line: token.get_src_line(),
                source_column: token.get_src_col(),
            })
            .collect()
    });
    Ok(Translated { code: printed.code, positions: SourcePositions::new(mappings) })
}

fn error(source: &str, diagnostic: &oxc_diagnostics::OxcDiagnostic) -> SyntaxError {
    let at = diagnostic.labels.iter().next().map_or(0, |label| label.offset() as usize).min(source.len());
    let before = &source.as_bytes()[..at];
    let line = before.iter().filter(|byte| **byte == b'\n').count();
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |end| end + 1);
    let count = |number: usize| u32::try_from(number).unwrap_or(u32::MAX).saturating_add(1);
    SyntaxError { message: diagnostic.message.to_string(), line: count(line), column: count(at - start) }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn translated(source: &str) -> String {
        to_javascript(source, Imports::Used).unwrap().code
    }

    #[test]
    fn what_is_only_typescript_becomes_javascript() {
        let code =
            translated("enum Color { Red, Green = 5 }\nconst c: Color = Color.Green;\nconsole.log(c as number);");
        assert!(code.contains("Color[\"Red\"]") && !code.contains("as number"), "{code}");
        let code =
            translated("namespace N { export const x: number = 1 }\nclass A { constructor(private y: string) {} }");
        assert!(code.contains("N.x") && code.contains("this.y = y"), "{code}");
        let code = translated("function d(t: any, k?: any) {}\n@d class B { @d m() {} }");
        assert!(code.contains("babelHelpers.decorate"), "{code}");
        let code = translated("import { T } from './t';\nimport type { U } from './u';\nlet v: T;");
        assert!(!code.contains("import {") && !code.contains("'./u'"), "{code}");
        assert!(to_javascript("import { T } from './t'", Imports::All).unwrap().code.contains("./t"));
        assert!(translated("const x: number = await Promise.resolve(1)").contains("await"));
    }

    #[test]
    fn places_lead_back_to_the_source() {
        let source = "interface Long {\n  a: string;\n  b: string;\n}\ntype X = Long;\n\nfunction f(x: X): void {\n  throw new Error(x.a);\n}";
        let code = to_javascript(source, Imports::Used).unwrap();
        let line = code.code.lines().position(|line| line.contains("throw")).unwrap() as u32 + 1;
        assert_eq!(code.source_position(line, 3).0, 8, "{}", code.code);
    }

    #[test]
    fn an_error_has_its_place_and_jsx_is_one() {
        assert_eq!(to_javascript("let a = 1;\nlet b: = 2;", Imports::Used).unwrap_err().line, 2);
        assert!(to_javascript("const a = <div>x</div>;", Imports::Used).is_err());
    }

    #[test]
    fn hostile_nesting_is_refused_or_read_without_overflow() {
        for (open, close) in [
            ("(", ")"),
            ("[", "]"),
            ("{", "}"),
            ("`${", "}`"),
            ("if(1)", ";"),
            ("A<", ">"),
            ("a=>", "1"),
            ("-", "1"),
            ("1+", "1"),
            ("a?b:", "c"),
            ("x.", "y"),
            ("!", "1"),
        ] {
            for count in [90, 900, 1900, 3900, 100_000] {
                let _ = to_javascript(&format!("{}{}", open.repeat(count), close.repeat(count)), Imports::Used);
                let _ = to_javascript(&format!("x = {}1{}", open.repeat(count), close.repeat(count)), Imports::Used);
            }
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(source in "[(){}\\[\\]<>`$'\"/\\\\;:,.=+!?&|a-e0-9 \n@#]{0,200}") {
            let _ = to_javascript(&source, Imports::Used);
            let _ = crate::program(&source);
            let _ = crate::cell(&source);
        }
    }
}
