-- Run inside a Prosody, by its admin shell: lets it serve hosts, or serve them no more.
--
-- What Prosody remembers of rosters, blocklists and rooms may be older than the database once somebody else has served a host. So a
-- host that is active under another stamp (whose it is, and the epoch) is deactivated and activated again; its rooms are forgotten
-- first, since a live room is written back when its host is deactivated. One that is as it should be is left alone.
local verb, stamp, names = VERB, STAMP, NAMES
local manager, hosts = require "core.hostmanager", prosody.hosts
local done = {}

local function forget_rooms(host)
  local muc, live = host.modules.muc, {}
  if not muc then return end
  for room in muc.live_rooms() do live[#live + 1] = room end
  for _, room in ipairs(live) do muc.forget_room(room) end
end

for _, name in ipairs(names) do
  local host = rawget(hosts, name)
  if verb == "activate" and host and host.poolpair_stamp == stamp then
    done[#done + 1] = name .. " is active already"
  else
    if host then
      if verb == "activate" then forget_rooms(host) end
      assert(manager.deactivate(name))
    end
    if verb == "activate" then
      assert(manager.activate(name))
      hosts[name].poolpair_stamp = stamp
    end
    done[#done + 1] = name .. (verb == "activate" and " activated" or host and " deactivated" or " was not active")
  end
end
return true, "poolpair: " .. table.concat(done, ", ")
