# For the `agenix` command: who can decrypt which secret.
let
  you = "age1replace-this-with-your-public-key";
  # `cat /etc/ssh/ssh_host_ed25519_key.pub` on the host.
  q = "ssh-ed25519 AAAAreplace-this-with-the-host-key";
in
{
  "secrets/q-writer.age".publicKeys = [
    you
    q
  ];
  # For a hub.
  "secrets/q-hub-writer.age".publicKeys = [
    you
    q
  ];
  "secrets/q-token.age".publicKeys = [
    you
    q
  ];
}
