//! What to do with a hub in which there is nothing yet.

use std::path::Path;

use maud::{Markup, html};

/// The commands, in their order. `data` is the hub's directory, if it may be told.
pub(super) fn first_steps(data: Option<&Path>) -> Markup {
    let data = data.map_or("DIR".into(), |data| data.to_string_lossy());
    html! {
        section.steps aria-labelledby="steps" {
            h2 #steps { "The first backup" }
            p { "Here for a host called " code { "nas" } "; " code { "https://HUB" } " is the address of this hub." }
            ol {
                li {
                    "On the hub, make a token for the host and one for yourself:"
                    pre { code {
                        "hearth-backup hub token add nas --role writer --data " (data) " --output nas.token\n"
                        "hearth-backup hub token add admin --role maintainer --repository nas --data " (data) " --output admin.token"
                    } }
                }
                li {
                    "On your own machine, make the repository. The restore key stays with you, and never comes here:"
                    pre { code { "hearth-backup init --repo https://HUB/nas --token-file admin.token --writer-key w.key --restore-key r.key" } }
                }
                li {
                    "Bring " code { "nas.token" } " and " code { "w.key" } " to the host, and back up:"
                    pre { code { "hearth-backup backup --repo https://HUB/nas --token-file nas.token --key w.key /home" } }
                }
                li { "Give the host a configuration with " code { "jobs" } " and a timer: what becomes of each run is then shown here." }
            }
        }
    }
}
