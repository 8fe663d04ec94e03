use super::*;

fn orders() -> (Orders, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    (Orders::new(folder.path()), folder)
}

fn at(seconds: i64) -> Timestamp {
    Timestamp::from_second(1_800_000_000 + seconds).unwrap()
}

impl Orders {
    /// The orders of a host that have not ended, oldest first.
    fn open(&self, host: &str, now: Timestamp) -> Result<Vec<Order>, Refusal> {
        let orders = all(&self.of(host)?)?;
        Ok(orders.into_iter().map(|order| as_of(order, now)).filter(|order| !order.state.is_ended()).collect())
    }
}

#[test]
fn one_order_of_a_job_is_open_at_a_time_and_another_process_sees_it() {
    let (orders, folder) = orders();
    let first = orders.ask("nas", "state", "me", at(0)).unwrap();
    assert_eq!(orders.ask("nas", "state", "you", at(5)).unwrap(), first);
    let other = Orders::new(folder.path());
    assert_eq!(other.open("nas", at(5)).unwrap(), std::slice::from_ref(&first));
    assert_ne!(orders.ask("web", "state", "me", at(5)).unwrap().host, "nas");
    other.note("nas", &first.id, News::of(OrderState::Succeeded), at(6)).unwrap();
    let second = orders.ask("nas", "state", "me", at(6)).unwrap();
    assert!(second.id > first.id);
    assert_eq!(orders.get("nas", &first.id, at(6)).unwrap().state, OrderState::Succeeded);
    assert_eq!(orders.open("nas", at(6)).unwrap(), [second]);
}

#[test]
fn an_order_that_nobody_takes_expires_and_shall_not_begin_any_more() {
    let (orders, _folder) = orders();
    let order = orders.ask("nas", "state", "me", at(0)).unwrap();
    assert_eq!(orders.get("nas", &order.id, at(3600)).unwrap().state, OrderState::Asked);
    assert_eq!(orders.get("nas", &order.id, at(3601)).unwrap().state, OrderState::Expired);
    assert!(orders.open("nas", at(3601)).unwrap().is_empty());
    let late = orders.note("nas", &order.id, News::of(OrderState::Taken), at(3601)).unwrap_err();
    assert_eq!(late.error, Reason::Conflict);
    assert_ne!(orders.ask("nas", "state", "me", at(3601)).unwrap().id, order.id);
}

#[test]
fn one_that_was_taken_is_given_up_after_an_hour_of_silence_and_taken_up_again_by_news() {
    let (orders, _folder) = orders();
    let order = orders.ask("nas", "state", "me", at(0)).unwrap();
    orders.note("nas", &order.id, News::of(OrderState::Running), at(3000)).unwrap();
    assert_eq!(orders.get("nas", &order.id, at(6000)).unwrap().state, OrderState::Running);
    let silent = orders.get("nas", &order.id, at(6601)).unwrap();
    assert!(silent.state == OrderState::Expired && silent.message.unwrap().contains("may go on"));
    let done = orders.note("nas", &order.id, News::of(OrderState::Warnings).saying("x\u{7}y"), at(7000)).unwrap();
    assert_eq!((done.state, done.message.as_deref()), (OrderState::Warnings, Some("x y")));
    assert_eq!(orders.note("nas", &order.id, News::of(OrderState::Running), at(7001)).unwrap_err().error, Reason::Conflict);
}

#[test]
fn a_host_has_so_many_open_orders_and_ended_ones_go_in_time() {
    let (orders, _folder) = orders();
    for number in 0..OPEN {
        orders.ask("nas", &format!("job{number}"), "me", at(0)).unwrap();
    }
    assert_eq!(orders.ask("nas", "more", "me", at(0)).unwrap_err().error, Reason::Conflict);
    assert!(orders.ask("web", "more", "me", at(0)).is_ok(), "another host");
    // All of them expire, and are gone a week later.
    orders.ask("nas", "more", "me", at(3601)).unwrap();
    assert_eq!(orders.names("nas").unwrap().len(), OPEN + 1);
    orders.ask("nas", "last", "me", at(3601 + 7 * 24 * 3600)).unwrap();
    assert_eq!(orders.names("nas").unwrap().len(), 2);
}

#[test]
fn ended_orders_are_bounded_however_young_they_are() {
    let (orders, _folder) = orders();
    for second in 0..=i64::try_from(ENDED).unwrap() + 5 {
        let order = orders.ask("nas", "state", "me", at(second)).unwrap();
        orders.note("nas", &order.id, News::of(OrderState::Refused), at(second)).unwrap();
    }
    assert!(orders.names("nas").unwrap().len() <= ENDED + 1);
}

#[test]
fn names_that_lead_elsewhere_are_none() {
    let (orders, folder) = orders();
    fs::write(folder.path().join("secret.json"), "{}").unwrap();
    for host in ["..", "../x", "", "a/b", "A"] {
        assert_eq!(orders.ask(host, "state", "me", at(0)).unwrap_err().error, Reason::NotFound, "{host}");
    }
    for job in ["../state", "", "a b", "-x", "a@b.service"] {
        assert_eq!(orders.ask("nas", job, "me", at(0)).unwrap_err().error, Reason::Malformed, "{job}");
    }
    for id in ["../../secret", "..", "", "lock", "agent"] {
        assert_eq!(orders.get("nas", id, at(0)).unwrap_err().error, Reason::NotFound, "{id}");
    }
}

#[test]
fn a_file_that_is_no_order_is_none() {
    let (orders, folder) = orders();
    let order = orders.ask("nas", "state", "me", at(0)).unwrap();
    let folder = folder.path().join("orders/nas");
    fs::write(folder.join("20270115-075959-000.json"), "{").unwrap();
    fs::copy(path(&folder, &order.id), path(&folder, "20270115-075959-001")).unwrap();
    assert_eq!(orders.open("nas", at(0)).unwrap(), std::slice::from_ref(&order));
    assert_eq!(orders.get("nas", "20270115-075959-001", at(0)).unwrap_err().error, Reason::Failed);
}

#[test]
fn the_newest_stream_is_the_hosts_and_whoever_stops_renewing_is_away() {
    let (orders, folder) = orders();
    assert!(!orders.is_connected("nas", at(0)));
    let first = orders.connect("nas", at(0)).unwrap();
    assert!(first.holds() && orders.is_connected("nas", at(59)) && !orders.is_connected("nas", at(60)));
    // Another process.
    let second = Orders::new(folder.path()).connect("nas", at(30)).unwrap();
    assert!(!first.holds() && !first.renew(at(40)).unwrap());
    assert!(second.renew(at(50)).unwrap() && orders.is_connected("nas", at(100)));
    drop(first);
    assert!(second.holds(), "only its own is given back");
    drop(second);
    assert!(!orders.is_connected("nas", at(51)));
}
