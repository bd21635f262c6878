//! The shaders without any adapter: naga parses and validates them, and their layout is Rust's.

use std::mem::offset_of;

use naga::{TypeInner, valid};
use wgpu_elu::{
    DType,
    shader::{Buffers, ELEMENTS, PARAMS_BINDING, Params, VECTORS, X_BINDING, Y_BINDING, source},
};

fn parse(buffers: Buffers) -> naga::Module {
    let source = source(DType::F32, buffers);
    let module = naga::front::wgsl::parse_str(source)
        .unwrap_or_else(|error| panic!("{}", error.emit_to_string(source)));
    // With no capability at all: the shaders need no optional feature.
    valid::Validator::new(valid::ValidationFlags::all(), valid::Capabilities::empty())
        .validate(&module)
        .unwrap_or_else(|error| panic!("{}", error.emit_to_string(source)));
    module
}

#[test]
fn every_shader_is_valid_and_has_both_entry_points() {
    for (buffers, bindings) in [
        (
            Buffers::Separate,
            vec![PARAMS_BINDING, X_BINDING, Y_BINDING],
        ),
        (Buffers::Single, vec![PARAMS_BINDING, Y_BINDING]),
    ] {
        let module = parse(buffers);
        let mut names: Vec<&str> = module
            .entry_points
            .iter()
            .map(|entry| entry.name.as_str())
            .collect();
        names.sort_unstable();
        assert_eq!(names, [ELEMENTS, VECTORS]);
        let mut found: Vec<u32> = module
            .global_variables
            .iter()
            .filter_map(|(_, variable)| variable.binding)
            .inspect(|binding| assert_eq!(binding.group, 0))
            .map(|binding| binding.binding)
            .collect();
        found.sort_unstable();
        found.dedup();
        assert_eq!(found, bindings, "{buffers:?}");
    }
}

#[test]
fn params_have_the_same_layout_in_rust() {
    let rust = [
        ("alpha", offset_of!(Params, alpha)),
        ("scale", offset_of!(Params, scale)),
        ("count", offset_of!(Params, count)),
        ("x_first", offset_of!(Params, x_first)),
        ("y_first", offset_of!(Params, y_first)),
        ("groups_per_row", offset_of!(Params, groups_per_row)),
        ("head", offset_of!(Params, head)),
        ("gap", offset_of!(Params, gap)),
        ("zero", offset_of!(Params, zero)),
        ("padding_1", offset_of!(Params, padding_1)),
        ("padding_2", offset_of!(Params, padding_2)),
        ("padding_3", offset_of!(Params, padding_3)),
    ];
    for buffers in [Buffers::Separate, Buffers::Single] {
        let module = parse(buffers);
        let (_, params) = module
            .types
            .iter()
            .find(|(_, ty)| ty.name.as_deref() == Some("Params"))
            .unwrap();
        let TypeInner::Struct { members, span } = &params.inner else {
            panic!("Params is no struct")
        };
        let wgsl: Vec<_> = members
            .iter()
            .map(|member| (member.name.as_deref().unwrap(), member.offset as usize))
            .collect();
        assert_eq!(wgsl, rust);
        assert_eq!(*span as usize, size_of::<Params>());
    }
}
