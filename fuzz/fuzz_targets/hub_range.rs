#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    hearth_backup_fuzz::hub_range(bytes);
});
