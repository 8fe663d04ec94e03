# A writer key that lies encrypted in the configuration. The identity in agenix/ opens nothing but this test.
{
  name = "hearth-backup-agenix";

  nodes.machine = {
    imports = [ ./common/host.nix ];
    services.hearth-backup = {
      repositories.disk.writerKey = {
        file = null;
        age = ./agenix/writer.age;
      };
      jobs.state = {
        paths = [ "/var/lib/app" ];
        notify.ntfy = {
          url = "http://127.0.0.1:8090";
          topic = "backups";
          token.age = ./agenix/token.age;
        };
      };
    };
    # In the store, and so there before anything else; for a test only.
    age.identityPaths = [ "${./agenix/identity.txt}" ];
  };

  testScript =
    ''
      golden = "${../golden/format-1/0.1.0}"
      listener = "${./agenix/listener.py}"
    ''
    + builtins.readFile ./common/prelude.py
    + builtins.readFile ./agenix.py;
}
