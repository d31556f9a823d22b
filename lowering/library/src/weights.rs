//! The weights as an object file or as a file of their own. Nothing is ever turned into LLVM constants, which would
//! take minutes and gigabytes for a large model: the bytes go straight into a read-only section.

use std::io::{self, Write};
use std::ops::Range;

use object::write::elf::{FileHeader, SectionHeader, Sym, Writer};
use object::{Endianness, elf};
use pt2c_abi::weights::WeightsHeader;
use pt2c_abi::{ABI_VERSION, ALIGNMENT, HUGE_PAGE};

use crate::spec::Weights;

/// From this size on the weights go into a "large" section, which linkers place away from code and ordinary data, so
/// that these stay within reach of each other's 32-bit addresses.
const LARGE: u64 = 256 << 20;

/// From this size on linkers are asked to place embedded weights at a huge page: the file pages behind them can then be mapped
/// as huge ones, which reads faster (`bench/RESULTS.md`), for at most one huge page of padding in the linked program.
const LINKED_AT_HUGE_PAGE: u64 = 8 * HUGE_PAGE;

/// The section flag of the x86-64 ABI for data beyond the reach of 32-bit addresses.
const SHF_X86_64_LARGE: u64 = 0x1000_0000;

/// The content in one piece.
pub fn content(weights: Weights<'_>) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(weights.size() as usize);
    weights.for_each(|piece| bytes.extend_from_slice(piece));
    bytes
}

/// Writes the file that a library with separate weights maps at start.
pub fn write_file(out: &mut dyn Write, content: &[u8], hash: u64) -> io::Result<()> {
    let header = WeightsHeader { version: ABI_VERSION, size: content.len() as u64, hash };
    out.write_all(&header.to_bytes())?;
    out.write_all(content)
}

/// The alignment, in bytes, that a system's linker is asked for with `size` bytes of weights.
pub fn linked_alignment(size: u64) -> u64 {
    if size >= LINKED_AT_HUGE_PAGE { HUGE_PAGE } else { ALIGNMENT }
}

/// The content as an ELF object that defines the hidden symbol `symbol` at a multiple of `alignment` bytes, and where in it the
/// content is. Weights are large: this is the only copy that is made of them.
pub fn object(
    weights: Weights<'_>,
    symbol: &str,
    alignment: u64,
) -> Result<(Vec<u8>, Range<usize>), object::write::Error> {
    let content_size = weights.size();
    let size = content_size as usize;
    let mut bytes = Vec::with_capacity(size + 4096);
    let mut writer = Writer::new(Endianness::Little, true, &mut bytes);
    let large = content_size >= LARGE;
    let (name, flags): (&[u8], u64) = match large {
        true => (b".lrodata.pt2c", u64::from(elf::SHF_ALLOC) | SHF_X86_64_LARGE),
        false => (b".rodata.pt2c", u64::from(elf::SHF_ALLOC)),
    };
    writer.reserve_file_header();
    writer.reserve_null_section_index();
    let section_name = writer.add_section_name(name);
    let section = writer.reserve_section_index();
    let stack_name = writer.add_section_name(b".note.GNU-stack");
    writer.reserve_section_index();
    let data = writer.reserve(size, ALIGNMENT as usize);
    let symbol_name = writer.add_string(symbol.as_bytes());
    writer.reserve_null_symbol_index();
    writer.reserve_symbol_index(Some(section));
    writer.reserve_symtab_section_index();
    writer.reserve_symtab();
    writer.reserve_strtab_section_index();
    writer.reserve_strtab();
    writer.reserve_shstrtab_section_index();
    writer.reserve_shstrtab();
    writer.reserve_section_headers();

    writer.write_file_header(&FileHeader {
        os_abi: elf::ELFOSABI_NONE,
        abi_version: 0,
        e_type: elf::ET_REL,
        e_machine: elf::EM_X86_64,
        e_entry: 0,
        e_flags: 0,
    })?;
    writer.write_align(ALIGNMENT as usize);
    weights.for_each(|piece| writer.write(piece));
    writer.write_null_symbol();
    writer.write_symbol(&Sym {
        name: Some(symbol_name),
        section: Some(section),
        st_info: (elf::STB_GLOBAL << 4) | elf::STT_OBJECT,
        st_other: elf::STV_HIDDEN,
        st_shndx: 0,
        st_value: 0,
        st_size: content_size,
    });
    writer.write_strtab();
    writer.write_shstrtab();
    writer.write_null_section_header();
    writer.write_section_header(&SectionHeader {
        name: Some(section_name),
        sh_type: elf::SHT_PROGBITS,
        sh_flags: flags,
        sh_addr: 0,
        sh_offset: data as u64,
        sh_size: content_size,
        sh_link: 0,
        sh_info: 0,
        sh_addralign: alignment,
        sh_entsize: 0,
    });
    writer.write_section_header(&SectionHeader {
        name: Some(stack_name),
        sh_type: elf::SHT_PROGBITS,
        sh_flags: 0,
        sh_addr: 0,
        sh_offset: 0,
        sh_size: 0,
        sh_link: 0,
        sh_info: 0,
        sh_addralign: 1,
        sh_entsize: 0,
    });
    writer.write_symtab_section_header(1);
    writer.write_strtab_section_header();
    writer.write_shstrtab_section_header();
    debug_assert_eq!(writer.reserved_len(), writer.len());
    Ok((bytes, data..data + size))
}
