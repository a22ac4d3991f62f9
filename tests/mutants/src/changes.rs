//! Finds the changes of a file: operators, negations, arms of `match` and their guards, and what functions return.

use quote::ToTokens as _;
use std::ops::Range;
use syn::spanned::Spanned as _;
use syn::visit::{self, Visit};
use syn::{BinOp, Block, Expr, ReturnType, Type, UnOp};

/// A place in the text with the changes that can be made there.
pub struct Site {
    pub range: Range<usize>,
    pub kind: Kind,
    /// What each change is, and the text that it puts in the place of the old one.
    pub changes: Vec<(String, String)>,
}

/// How the changes are written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// The place is an expression: the texts take its place.
    Expression,
    /// The place is empty, after the brace of a function: the texts are what it returns.
    Body,
    /// The place is a guard: it is replaced by the texts. With an empty text the arm never applies.
    Guard,
    /// The place is empty, before the arrow of an arm without a guard, which never applies.
    Arm,
}

/// The sites of a file.
pub fn of(text: &str) -> syn::Result<Vec<Site>> {
    let file = syn::parse_file(text)?;
    let mut finder = Finder {
        text,
        sites: Vec::new(),
    };
    finder.visit_file(&file);
    Ok(finder.sites)
}

struct Finder<'t> {
    text: &'t str,
    sites: Vec<Site>,
}

impl Finder<'_> {
    fn add(&mut self, range: Range<usize>, kind: Kind, changes: Vec<(String, String)>) {
        if !changes.is_empty() {
            self.sites.push(Site { range, kind, changes });
        }
    }

    fn function(&mut self, name: &syn::Ident, output: &ReturnType, block: &Block) {
        if block.stmts.is_empty() {
            return;
        }
        let at = block.brace_token.span.open().byte_range().end;
        let values = match output {
            ReturnType::Default => vec![String::new()],
            ReturnType::Type(_, output) => values(output),
        };
        let changes = values.into_iter().map(|value| {
            let said = if value.is_empty() { "()" } else { &value };
            (format!("{name} returns {said}"), value.clone())
        });
        self.add(at..at, Kind::Body, changes.collect());
    }
}

fn is_for_tests(attributes: &[syn::Attribute]) -> bool {
    attributes.iter().any(|attribute| {
        attribute.path().is_ident("test")
            || attribute.path().is_ident("cfg") && attribute.to_token_stream().to_string().contains("test")
    })
}

fn has_let(expression: &Expr) -> bool {
    match expression {
        Expr::Let(_) => true,
        Expr::Binary(both) => has_let(&both.left) || has_let(&both.right),
        Expr::Paren(inner) => has_let(&inner.expr),
        _ => false,
    }
}

impl<'ast> Visit<'ast> for Finder<'_> {
    fn visit_item_mod(&mut self, item: &'ast syn::ItemMod) {
        if !is_for_tests(&item.attrs) {
            visit::visit_item_mod(self, item);
        }
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        if !is_for_tests(&item.attrs) && item.sig.constness.is_none() {
            self.function(&item.sig.ident, &item.sig.output, &item.block);
            self.visit_block(&item.block);
        }
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        if !is_for_tests(&item.attrs) && item.sig.constness.is_none() {
            self.function(&item.sig.ident, &item.sig.output, &item.block);
            self.visit_block(&item.block);
        }
    }

    fn visit_item_impl(&mut self, item: &'ast syn::ItemImpl) {
        let is_debug = item
            .trait_
            .as_ref()
            .is_some_and(|(_, path, _)| path.segments.last().is_some_and(|last| last.ident == "Debug"));
        if !is_for_tests(&item.attrs) && !is_debug {
            visit::visit_item_impl(self, item);
        }
    }

    fn visit_item_const(&mut self, _: &'ast syn::ItemConst) {}
    fn visit_impl_item_const(&mut self, _: &'ast syn::ImplItemConst) {}
    fn visit_item_static(&mut self, _: &'ast syn::ItemStatic) {}
    fn visit_item_enum(&mut self, _: &'ast syn::ItemEnum) {}
    fn visit_type(&mut self, _: &'ast Type) {}
    fn visit_pat(&mut self, _: &'ast syn::Pat) {}
    fn visit_macro(&mut self, _: &'ast syn::Macro) {}
    fn visit_expr_const(&mut self, _: &'ast syn::ExprConst) {}
    fn visit_expr_repeat(&mut self, item: &'ast syn::ExprRepeat) {
        self.visit_expr(&item.expr);
    }

    fn visit_expr_binary(&mut self, item: &'ast syn::ExprBinary) {
        let chain = matches!(item.op, BinOp::And(_) | BinOp::Or(_)) && (has_let(&item.left) || has_let(&item.right));
        if !chain {
            let (left, right) = (
                &self.text[item.left.span().byte_range()],
                &self.text[item.right.span().byte_range()],
            );
            let old = item.op.to_token_stream().to_string();
            let changes = others(&item.op)
                .iter()
                .map(|new| (format!("{new} for {old}"), format!("{left} {new} {right}")))
                .collect();
            self.add(item.span().byte_range(), Kind::Expression, changes);
        }
        visit::visit_expr_binary(self, item);
    }

    fn visit_expr_unary(&mut self, item: &'ast syn::ExprUnary) {
        if let UnOp::Not(_) | UnOp::Neg(_) = item.op {
            let old = item.op.to_token_stream().to_string();
            let inner = self.text[item.expr.span().byte_range()].to_owned();
            self.add(
                item.span().byte_range(),
                Kind::Expression,
                vec![(format!("{old} taken out"), inner)],
            );
        }
        visit::visit_expr_unary(self, item);
    }

    fn visit_expr_match(&mut self, item: &'ast syn::ExprMatch) {
        let ends_wild = item
            .arms
            .last()
            .is_some_and(|last| matches!(last.pat, syn::Pat::Wild(_)) && last.guard.is_none());
        let last = item.arms.len().saturating_sub(1);
        for (number, arm) in item.arms.iter().enumerate() {
            let pattern = self.text[arm.pat.span().byte_range()]
                .split_whitespace()
                .collect::<Vec<_>>()
                .join(" ");
            let is_removable = ends_wild && number != last;
            let mut changes = Vec::new();
            match &arm.guard {
                Some((_, guard)) if !has_let(guard) => {
                    changes.push((format!("guard of {pattern}: true"), "true".to_owned()));
                    changes.push((format!("guard of {pattern}: false"), "false".to_owned()));
                    self.add(guard.span().byte_range(), Kind::Guard, changes);
                }
                Some(_) => {}
                None if is_removable => {
                    let at = arm.fat_arrow_token.span().byte_range().start;
                    self.add(
                        at..at,
                        Kind::Arm,
                        vec![(format!("arm {pattern} taken out"), String::new())],
                    );
                }
                None => {}
            }
        }
        visit::visit_expr_match(self, item);
    }
}

fn others(operator: &BinOp) -> &'static [&'static str] {
    match operator {
        BinOp::Eq(_) => &["!="],
        BinOp::Ne(_) => &["=="],
        BinOp::Lt(_) => &["<=", ">", "=="],
        BinOp::Le(_) => &["<", ">"],
        BinOp::Gt(_) => &[">=", "<", "=="],
        BinOp::Ge(_) => &[">", "<"],
        BinOp::And(_) => &["||"],
        BinOp::Or(_) => &["&&"],
        BinOp::Add(_) => &["-", "*"],
        BinOp::Sub(_) => &["+", "/"],
        BinOp::Mul(_) => &["+", "/"],
        BinOp::Div(_) => &["*", "%"],
        BinOp::Rem(_) => &["/", "+"],
        BinOp::BitAnd(_) => &["|", "^"],
        BinOp::BitOr(_) => &["&", "^"],
        BinOp::BitXor(_) => &["|", "&"],
        BinOp::Shl(_) => &[">>"],
        BinOp::Shr(_) => &["<<"],
        BinOp::AddAssign(_) => &["-=", "*="],
        BinOp::SubAssign(_) => &["+=", "/="],
        BinOp::MulAssign(_) => &["+=", "/="],
        BinOp::DivAssign(_) => &["*="],
        BinOp::BitAndAssign(_) => &["|=", "^="],
        BinOp::BitOrAssign(_) => &["&=", "^="],
        _ => &[],
    }
}

/// What a function of this type is changed to return.
fn values(output: &Type) -> Vec<String> {
    let text = output.to_token_stream().to_string().replace(' ', "");
    let some = |values: &[&str]| values.iter().map(|value| (*value).to_owned()).collect();
    match text.as_str() {
        "bool" => return some(&["true", "false"]),
        "u8" | "u16" | "u32" | "u64" | "u128" | "usize" => return some(&["0", "1"]),
        "i8" | "i16" | "i32" | "i64" | "i128" | "isize" => return some(&["0", "1", "-1"]),
        "f32" | "f64" => return some(&["0.0", "1.0", "-1.0"]),
        "String" => return some(&["String::new()", "String::from(\"xyzzy\")"]),
        "&str" | "&'staticstr" => return some(&["\"\"", "\"xyzzy\""]),
        _ => {}
    }
    match output {
        Type::Path(path) => {
            let Some(last) = path.path.segments.last() else {
                return Vec::new();
            };
            let inner = match &last.arguments {
                syn::PathArguments::AngleBracketed(inner) => inner.args.first(),
                _ => None,
            };
            let inner = match inner {
                Some(syn::GenericArgument::Type(inner)) => values(inner),
                _ => Vec::new(),
            };
            let name = last.ident.to_string();
            match name.as_str() {
                "Option" => ["None".to_owned()]
                    .into_iter()
                    .chain(inner.iter().map(|value| format!("Some({value})")))
                    .collect(),
                "Result" if inner.is_empty() => vec!["Ok(Default::default())".to_owned()],
                "Result" | "QueryResult" => inner.iter().map(|value| format!("Ok({value})")).collect(),
                "Vec" => ["Vec::new()".to_owned()]
                    .into_iter()
                    .chain(inner.iter().map(|value| format!("vec![{value}]")))
                    .collect(),
                _ => vec!["Default::default()".to_owned()],
            }
        }
        Type::Tuple(all) if all.elems.is_empty() => vec!["()".to_owned()],
        Type::Tuple(_) => vec!["Default::default()".to_owned()],
        _ => Vec::new(),
    }
}
