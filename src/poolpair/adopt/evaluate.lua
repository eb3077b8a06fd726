-- Evaluates a Prosody configuration as Prosody 0.12 does, and writes what it says as JSON. Called with the file's path.
--
-- A configuration is a program. Here it may compute, read files and its environment, and nothing else: it starts no process, writes
-- nothing, loads no library and no compiled code. Its time and memory are limited by whoever starts this interpreter.

local FILE_MAX, OUTPUT_MAX, DEPTH_MAX, INCLUDES_MAX = 1024 * 1024, 4 * 1024 * 1024, 12, 1000
local NESTED_MAX = 20

local type, pairs, ipairs, next, tostring, error, pcall, load = type, pairs, ipairs, next, tostring, error, pcall, load
local setmetatable, rawget, rawlen, getenv, open = setmetatable, rawget, rawlen, os.getenv, io.open
local format, rep, sub, byte = string.format, string.rep, string.sub, string.byte
local gsub, match, lower = string.gsub, string.match, string.lower
local insert, concat, sort, mathtype, utf8len = table.insert, table.concat, table.sort, math.type, utf8.len
local info, write, exit = debug.getinfo, io.write, os.exit

-- Prosody's own library prepares names of hosts; where it is not installed, small letters must do.
package.path, package.cpath = "/usr/lib/prosody/?.lua;" .. package.path, "/usr/lib/prosody/?.so;" .. package.cpath
local have_encodings, encodings = pcall(require, "util.encodings")
local have_lfs, lfs = pcall(require, "lfs")

local function prepared(name)
	if have_encodings then return encodings.stringprep.nameprep(name) end
	return lower(name)
end

-- JSON. What JSON cannot say (functions, numbers that are none) becomes null.
local said = 0

local function put(out, text)
	said = said + #text
	if said > OUTPUT_MAX then error("it says more than 4 MiB", 0) end
	insert(out, text)
end

local function quoted(text)
	if not utf8len(text) then text = gsub(text, "[\128-\255]", "\239\191\189") end
	return '"' .. gsub(text, '[%c"\\\127]', function (c) return format("\\u%04x", byte(c)) end) .. '"'
end

local function is_list(value)
	local count = 0
	for key in next, value do
		if mathtype(key) ~= "integer" then return false end
		count = count + 1
	end
	return count == rawlen(value)
end

local encode

local function encode_table(out, value, depth)
	if depth > DEPTH_MAX then error("a table lies in more than " .. DEPTH_MAX .. " others", 0) end
	if is_list(value) then
		put(out, "[")
		for i = 1, rawlen(value) do
			if i > 1 then put(out, ",") end
			encode(out, rawget(value, i), depth + 1)
		end
		return put(out, "]")
	end
	local keys = {}
	for key in next, value do
		if type(key) == "string" or type(key) == "number" then insert(keys, key) end
	end
	sort(keys, function (a, b) return tostring(a) < tostring(b) end)
	put(out, "{")
	for i, key in ipairs(keys) do
		put(out, (i > 1 and "," or "") .. quoted(tostring(key)) .. ":")
		encode(out, rawget(value, key), depth + 1)
	end
	put(out, "}")
end

function encode(out, value, depth)
	local kind = type(value)
	if kind == "string" then
		put(out, quoted(value))
	elseif kind == "boolean" then
		put(out, tostring(value))
	elseif kind == "number" and value == value and value ~= 1 / 0 and value ~= -1 / 0 then
		put(out, mathtype(value) == "integer" and tostring(value) or format("%.17g", value))
	elseif kind == "table" then
		encode_table(out, value, depth)
	else
		put(out, "null")
	end
end

local function finish(answer, status)
	local out = {}
	local ok, reason = pcall(encode, out, answer, 0)
	if not ok then out, status = { '{"error":' .. quoted(reason) .. "}" }, 3 end
	write(concat(out), "\n")
	exit(status, true)
end

-- What the configuration sees of Lua.
local function only(from, names)
	local given = {}
	for name in names:gmatch("%w+") do given[name] = from[name] end
	return given
end

local function refused(what)
	return function () error(what .. " is not evaluated here: write its outcome into the configuration", 2) end
end

local function open_to_read(name, mode)
	if mode and not match(mode, "^rb?$") then error("opening a file to write is not evaluated here", 2) end
	return open(name, "r")
end

local seen = only(_G, "assert error getmetatable ipairs next pairs pcall rawequal rawget rawlen rawset select setmetatable tonumber tostring type xpcall")
seen._G, seen._VERSION = seen, _VERSION
seen.string, seen.table, seen.math, seen.utf8 = string, table, math, utf8
seen.coroutine = coroutine
seen.os = only(os, "clock date difftime getenv time")
seen.io = { open = open_to_read; lines = function (name) return (assert(open(name or "", "r"))):lines() end; popen = refused("io.popen") }
seen.os.execute, seen.require, seen.dofile, seen.loadfile = refused("os.execute"), refused("require"), refused("dofile"), refused("loadfile")
seen.load, seen.print = refused("load"), function () end

-- Prosody's own words.
local config, order, files, warnings, environment = { ["*"] = {} }, {}, {}, {}, {}

local function set(host, key, value)
	if not config[host] then
		config[host] = {}
		insert(order, host)
	end
	config[host][key] = value
end

local function resolved(base, path)
	if sub(path, 1, 1) == "/" then return path end
	return base .. path
end

local function folder_of(path)
	return match(path, "^(.*/)[^/]*$") or ""
end

local function pattern_of(glob)
	local escaped = gsub(glob, "[%p]", function (c)
		if c == "*" then return ".*" elseif c == "?" then return "." end
		return "%" .. c
	end)
	return "^" .. escaped .. "$"
end

local function line_in(path)
	for level = 3, 30 do
		local found = info(level, "Sl")
		if not found then return 0 end
		if found.source == "@" .. path then return found.currentline end
	end
	return 0
end

local function host_name(name, what)
	if type(name) ~= "string" or name == "" then error(what .. " must have a name", 3) end
	local found = prepared(name)
	if not found then error(format("%q is no name of a host", name), 3) end
	return found
end

local run

local function words_for(path, depth)
	local given, current = {}, "*"
	local env = { VirtualHost = true, Component = true, Include = true, RunScript = true }

	local function close_with(name)
		return function (options)
			current = "*"
			if type(options) ~= "table" then error("expected a table of options for " .. name .. ", not a " .. type(options), 2) end
			for key, value in pairs(options) do set(name, key, value) end
		end
	end

	function env.VirtualHost(name)
		name = host_name(name, "a VirtualHost")
		if config[name] and config[name].component_module then error(name .. " is a Component already", 2) end
		current = name
		set(name, "defined", true)
		return close_with(name)
	end

	function env.Component(name)
		name = host_name(name, "a Component")
		if config[name] and config[name].defined and not config[name].component_module then
			error(name .. " is a VirtualHost already", 2)
		end
		set(name, "component_module", "component")
		set(name, "load_global_modules", false)
		current = name
		local close = close_with(name)
		return function (module)
			if type(module) ~= "string" then return close(module) end
			set(name, "component_module", module)
			return close
		end
	end

	function env.Include(file)
		if type(file) ~= "string" then error("Include wants the name of a file", 2) end
		local base = folder_of(path)
		if not match(file, "[*?]") then return run(resolved(base, file), depth + 1, path) end
		if not have_lfs then error("Include " .. file .. " needs Lua's file system library (lua-filesystem)", 2) end
		local folder, glob = match(file, "^(.-)([^/]+)$")
		folder = resolved(base, folder)
		local wanted = pattern_of(glob)
		for name in lfs.dir(folder == "" and "." or folder) do
			if sub(name, 1, 1) ~= "." and match(name, wanted) then run(folder .. name, depth + 1, path) end
		end
	end

	function env.RunScript() error("RunScript is not evaluated here: write its outcome into the configuration", 2) end
	env.Host, env.host, env.component, env.include = env.VirtualHost, env.VirtualHost, env.Component, env.Include

	local meta = {}
	function meta.__index(_, key)
		if type(key) == "string" and match(key, "^ENV_") then
			local name = sub(key, 5)
			environment[name] = getenv(name) ~= nil
			return getenv(name)
		end
		return seen[key]
	end
	function meta.__newindex(_, key, value)
		local at = current .. "/" .. tostring(key)
		if given[at] then insert(warnings, format("%s:%d: %s is given twice, the last one counts", path, line_in(path), tostring(key))) end
		given[at] = true
		set(current, key, value)
	end
	return setmetatable(env, meta)
end

function run(path, depth, from)
	if depth > NESTED_MAX then error("files include each other in a circle: " .. path, 0) end
	if #files >= INCLUDES_MAX then error("more than " .. INCLUDES_MAX .. " files are included", 0) end
	local file, reason = open(path, "r")
	if not file then error((from and from .. " includes " or "") .. reason, 0) end
	local text, failed = file:read(FILE_MAX + 1)
	file:close()
	if failed then error(path .. ": " .. failed, 0) end
	if #(text or "") > FILE_MAX then error(path .. " is larger than 1 MiB", 0) end
	local chunk, wrong = load(text or "", "@" .. path, "t", words_for(path, depth))
	if not chunk then error(wrong, 0) end
	chunk()
	insert(files, path)
end

local ok, reason = pcall(run, arg[1], 0)
if not ok then finish({ error = type(reason) == "string" and reason or "it ends with an error that is no text" }, 3) end
finish({ hosts = config; order = order; files = files; warnings = warnings; environment = environment; nameprep = have_encodings }, 0)
