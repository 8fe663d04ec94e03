use super::*;
#[test]
fn zz_bench() {
    let base = PathBuf::from(std::env::var("BENCH_DIR").unwrap_or("/tmp/benchR".into()));
    let _ = fs::remove_dir_all(&base);
    let target = Target::open(&base, Options::default()).unwrap();
    let start = std::time::Instant::now();
    let data = vec![7u8; 14000];
    let m = plain(0o644);
    let mut dirs = vec![];
    for d in 0..4200 {
        dirs.push(target.make_dir(DirId::ROOT, format!("d{d}").as_bytes()).unwrap());
    }
    println!("dirs {:?}", start.elapsed());
    let start = std::time::Instant::now();
    std::thread::scope(|s| {
        for part in dirs.chunks(2100) {
            let (t, data, m) = (&target, &data, &m);
            s.spawn(move || {
                for d in part {
                    for f in 0..10 {
                        let w = t.create_file(*d, format!("file{f}").as_bytes(), 14000, m).unwrap();
                        w.write_at(0, data).unwrap();
                        w.finish(m).unwrap();
                    }
                }
            });
        }
    });
    println!("files {:?}", start.elapsed());
    let start = std::time::Instant::now();
    for d in dirs.iter().rev() {
        target.finish_dir(*d, &plain(0o755)).unwrap();
    }
    println!("finish {:?}", start.elapsed());
    let start = std::time::Instant::now();
    let mut n = 0;
    for d in 0..4200 {
        let dd = crate::source::metadata::open_dir_at(File::open(&base).unwrap(), format!("d{d}").as_bytes()).unwrap();
        for f in 0..10 {
            n += crate::source::metadata::stat_at(&dd, format!("file{f}").as_bytes()).unwrap().size;
        }
    }
    println!("stat {:?} {n}", start.elapsed());
    let start = std::time::Instant::now();
    println!("{:?} {:?}", target.remove_extra(DirId::ROOT, |_| false).unwrap().removed, start.elapsed());
}
