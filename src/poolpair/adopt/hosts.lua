-- Run inside a Prosody, by its admin shell: lets it serve hosts, or serve them no more.
--
-- What Prosody remembers of rosters, blocklists and rooms may be older than the database once somebody else has served a host. So a
-- host that is active under another stamp (whose it is, and the epoch) is deactivated and activated again; its rooms are forgotten
-- first, since a live room is written back when its host is deactivated. One that is as it should be is left alone.
--
-- Of a room that stays only who is in it is written when its host is deactivated. Prosody has saved the rest at each change; by itself it
-- would write it once more, in another order, and the room would count as changed.
--
-- Every client is told its whole buddy list when it logs in, whatever version of it it knows: Prosody counts versions, and two sites that
-- both went on from 7 mean different things by 8.
local verb, stamp, names = VERB, STAMP, NAMES
local manager, hosts = require "core.hostmanager", prosody.hosts
local done = {}

local function clear_rooms(host, stale)
  local muc, live = host.modules.muc, {}
  if not muc then return end
  for room in muc.live_rooms() do live[#live + 1] = room end
  local states = muc.module:open_store("state")
  for _, room in ipairs(live) do
    if not stale and room:get_persistent() then
      local _, state = room:freeze(true)
      states:set(room.jid:match("^[^@]*"), state)
    end
    if stale or room:get_persistent() then muc.forget_room(room) end
  end
end

local function whole_roster(event) event.stanza.tags[1].attr.ver = nil end

for _, name in ipairs(names) do
  local host = rawget(hosts, name)
  if verb == "activate" and host and host.poolpair_stamp == stamp then
    done[#done + 1] = name .. " is active already"
  else
    if host then
      clear_rooms(host, verb == "activate")
      assert(manager.deactivate(name))
    end
    if verb == "activate" then
      assert(manager.activate(name))
      hosts[name].poolpair_stamp = stamp
      if hosts[name].type == "local" then
        hosts[name].events.add_handler("iq/self/jabber:iq:roster:query", whole_roster, 100)
      end
    end
    done[#done + 1] = name .. (verb == "activate" and " activated" or host and " deactivated" or " was not active")
  end
end
return true, "poolpair: " .. table.concat(done, ", ")
