//! Whether a device may take objects for memory that its driver knows.

use std::ptr::NonNull;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use lmcache::clock::Clock;
use lmcache::device::{
    Done, EngineKvFormat as F, Event, PageRegistrar, Registration, RegistrationKind, Stream, Transfer,
};
use lmcache::error::{Error, Result};
use lmcache::storage::StorageManagerBuilder;
use lmcache::storage::config::Compat;
use lmcache::storage::device::{DeviceRetrieve, DeviceStore};

use crate::support::{Engine, config, keys, layout, prefetch, table};

/// A driver that knows what it is told of, or refuses to.
#[derive(Debug)]
struct Driver {
    refuses: bool,
}

impl PageRegistrar for Driver {
    fn kind(&self) -> RegistrationKind {
        RegistrationKind::Registered
    }

    fn register(&self, _: NonNull<u8>, _: usize) -> Result<Registration> {
        match self.refuses {
            true => Err(Error::invalid("this refusal is part of the test")),
            false => Ok(Registration::new(|| ())),
        }
    }
}

/// Notes of each transfer whether its objects are known, and passes it on.
#[derive(Debug)]
struct Spy<'a>(&'a dyn Stream, Mutex<Vec<bool>>);

impl Stream for Spy<'_> {
    fn submit(&self, transfer: Transfer, done: Done) {
        self.1.lock().unwrap().push(transfer.host.is_registered());
        self.0.submit(transfer, done);
    }

    fn record(&self) -> Result<Event> {
        self.0.record()
    }

    fn wait_for(&self, event: &Event) -> Result<()> {
        self.0.wait_for(event)
    }
}

#[test]
fn objects_are_known_to_the_driver_where_l1_is_and_work_where_it_is_not() {
    for refuses in [false, true] {
        let (clock, _hand) = Clock::manual(1);
        let builder = StorageManagerBuilder::new(config(16, Compat::Native)).without_threads(clock);
        let manager = builder.page_registrar(Arc::new(Driver { refuses })).build().unwrap();
        let engine = Engine::new(F::NL_X_NB_TWO_BS_NH_HS, 1);
        let spy = Spy(&*engine.stream, Mutex::default());
        let (keys, layout, from, to) = (keys(0, 3), layout(), table(3, 0), table(3, 40));
        let parts = [engine.part(&from)];
        let request = DeviceStore { keys: &keys, layout: &layout, parts: &parts, null_block: None };
        let ticket = manager.store_from_device(&request, &spy).unwrap();
        assert!(engine.finish(&manager, &ticket).is_good());
        assert_eq!(prefetch(&manager, &keys), 3);
        let parts = [engine.part(&to)];
        let request = DeviceRetrieve { keys: &keys, parts: &parts, owners: None };
        let ticket = manager.retrieve_to_device(&request, &spy).unwrap();
        while engine.device.pump() {}
        assert!(manager.wait_transfer(&ticket, Duration::ZERO).unwrap().is_good());
        assert!(engine.objects(&to) == engine.objects(&from));
        assert_eq!(*spy.1.lock().unwrap(), [!refuses, !refuses]);
    }
}
