# What a unit may do: as little as its job's sources need. `systemd-analyze security` judges it in the tests.
{ lib }:
{
  # What the job needs, as booleans; absent ones are false.
  #
  #   everything files of all users are read
  #   network    somebody on another machine: a repository, a database server, what hooks and commands talk to
  #   identities tools run as other users, such as pg_dump as postgres
  #   ownership  files are given to other users: dumps in directory format
  #   mounts     filesystem snapshots are made and mounted
  #   devices    block devices are read
  #   temporary  a path lies in /tmp or /var/tmp
  #   priorities niceness and the class of reads and writes, which a run sets for itself and what it starts
  #   override   a repository belongs to another user than root
  #   processes  commands of the user's, which may be anything
  #   restores   files are restored with all that belongs to them, and sandboxes made of namespaces for what comes out of them
  needs,
  # What it writes to.
  writable ? [ ],
  # Block devices that it reads.
  deviceNodes ? [ ],
  # Whether it runs as a user of its own, who has nothing to do with others'.
  owner ? false,
}:
let
  inherit (lib) optional optionals;
  any = {
    everything = false;
    network = false;
    identities = false;
    ownership = false;
    mounts = false;
    devices = false;
    temporary = false;
    priorities = false;
    override = false;
    processes = false;
    restores = false;
  }
  // needs;
in
# Defaults, so that `systemd.services.<name>.serviceConfig` can say otherwise; lists are added to.
lib.mapAttrs (_: value: if lib.isList value then value else lib.mkDefault value) ({
  # An empty list would be no line, and so all capabilities.
  CapabilityBoundingSet = lib.concatStringsSep " " (
    optional any.everything "CAP_DAC_READ_SEARCH"
    ++ optionals any.identities [
      "CAP_SETUID"
      "CAP_SETGID"
    ]
    ++ optional any.ownership "CAP_CHOWN"
    ++ optional any.mounts "CAP_SYS_ADMIN"
    # A directory that was given away is removed again; a snapshot is made beside what it is of, whoever that belongs to.
    ++ optional (any.ownership || any.mounts || any.override || any.restores) "CAP_DAC_OVERRIDE"
    # Owners, modes, attributes and nodes of files; then namespaces, what is mounted in them, and what is let go of there.
    ++ optionals any.restores [
      "CAP_CHOWN"
      "CAP_FOWNER"
      "CAP_FSETID"
      "CAP_MKNOD"
      "CAP_SETFCAP"
      "CAP_SETUID"
      "CAP_SETGID"
      "CAP_SETPCAP"
      "CAP_KILL"
      "CAP_NET_ADMIN"
      "CAP_SYS_ADMIN"
      "CAP_SYS_CHROOT"
    ]
  );
  AmbientCapabilities = "";
  NoNewPrivileges = true;
  UMask = "0077";

  ProtectSystem = if any.mounts then "full" else "strict";
  # LVM keeps copies of its metadata, and refuses to work if it cannot.
  ReadWritePaths = writable ++ optional any.mounts "-/etc/lvm";
  ProtectHome = if owner then true else "read-only";
  PrivateTmp = !any.temporary;
  PrivateDevices = !(any.devices || any.mounts || any.restores);
  DevicePolicy = if any.mounts then "auto" else "closed";
  # With mounts every device is open; a list would close all others.
  DeviceAllow =
    optionals (!any.mounts) (map (device: "${device} r") deviceNodes)
    # Nodes are made, and not opened.
    ++ optionals any.restores [
      "char-* m"
      "block-* m"
    ];
  PrivateMounts = true;
  ProtectProc = if any.processes then "default" else "invisible";

  PrivateNetwork = !any.network;
  RestrictAddressFamilies = [
    "AF_UNIX"
  ]
  ++ optionals any.network [
    "AF_INET"
    "AF_INET6"
  ]
  # A sandbox has a network of its own, in which there is only itself.
  ++ optional (any.network || any.restores) "AF_NETLINK";

  ProtectClock = true;
  ProtectControlGroups = true;
  ProtectHostname = true;
  # A sandbox mounts a /proc of its own, which the kernel allows only where nothing of ours is hidden.
  ProtectKernelLogs = !any.restores;
  ProtectKernelModules = true;
  ProtectKernelTunables = !(any.mounts || any.restores);
  LockPersonality = true;
  MemoryDenyWriteExecute = !any.processes;
  RestrictNamespaces = !any.restores;
  RestrictRealtime = true;
  RestrictSUIDSGID = !any.restores;
  RemoveIPC = false;
  KeyringMode = "private";

  SystemCallArchitectures = "native";
  SystemCallErrorNumber = "EPERM";
  SystemCallFilter = [
    "@system-service"
    "~@privileged @resources"
  ]
  ++ optional any.priorities "ioprio_set setpriority"
  ++ optional any.identities "@setuid"
  ++ optional (any.ownership || any.identities) "@chown"
  ++ optional any.mounts "@mount"
  ++ optional any.restores "@mount @setuid @chown capset";
}
// lib.optionalAttrs (!any.network) { IPAddressDeny = "any"; }
// lib.optionalAttrs owner {
  PrivateUsers = true;
  ProcSubset = "pid";
  RemoveIPC = true;
})
