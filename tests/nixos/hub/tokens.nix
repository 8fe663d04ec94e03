# Tokens for the tests of hubs, and what a hub knows of them. They open nothing else.
{
  one = {
    token = "hbt_7dd7ad26_cYFsSKPuQZcpaAv0Zd7e_YzxVzWMzAizqiyna1tFyz8";
    hash = "hbh_7dd7ad26_60c4d61ed231d6f812d9febc0c8bded97a18bf520598d4a972ebf717234bb918";
  };
  two = {
    token = "hbt_283a17cb_Y1C9SdfUPKdZirzUz4Cua9sPSonuCXlYOzSWYSE3UAY";
    hash = "hbh_283a17cb_a700891ab9ef7c8fad2b8063e92f6aff123b14dd29790f08ce5a6c35cf2cb29b";
  };
  admin-one = {
    token = "hbt_463c893e_vDhxWiouwXAnJu8HGxB0DmI4YOfFvtyqh7QrltUliEA";
    hash = "hbh_463c893e_6b2d54546fbf1f3995fc207ecbcd69d490dd43a991f3267b818dcebe3cfb0c0a";
  };
  admin-two = {
    token = "hbt_e98f791d_2ZiFC4clDAHySuomxoHcHZMTTtplHuwivCtmKeey-DY";
    hash = "hbh_e98f791d_8079ea82c72f852e5540231caf2f025cd15efefe0327d99628f21a87aa952589";
  };
  reader-one = {
    token = "hbt_eb0c83c0_08IIitxNZHmrtAEugFJKD9wApk_TDDHaVnjLZoyOQT4";
    hash = "hbh_eb0c83c0_ee8674a769e8b2426656cb7f7b8e70fbfc51cecd8efd0d412b41a98481abb8f8";
  };
  viewer = {
    token = "hbt_28c22127_zFBwJq7VfvlGhfGp41uSsJfSPMzKUtBlyKqt9_YaGeM";
    hash = "hbh_28c22127_8e50ed83e7ca5e24afc90d79cd5c1673ba7c501a453a3b80ba5bbfe9e31d1e51";
  };
  friend = {
    token = "hbt_3e0a2250_CRFV6Qf5fbUD71aejpUfgPWUYI9LUczqFYvvk4zAdyA";
    hash = "hbh_3e0a2250_05c8e6d64f96eec04f2b70b50593d82f4da3c144face798fe03e4895aa5820da";
  };
}
