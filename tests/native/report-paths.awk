# The paths of a JSON report of umemcg's, one per line, with the type: OBJECT/KEY TYPE. [] is an element of an array.
# Reads cJSON's layout: a line per key, a tab per level.
function depth(line) { match(line, /^\t*/); return RLENGTH }
function kind(text) {
	if (text ~ /^"max"/) return "size"
	if (text ~ /^"/) return "string"
	if (text ~ /^(true|false)/) return "boolean"
	if (text ~ /^\[/) return "array"
	return text ~ /^\{/ ? "object" : "number"
}
/^\t*"[^"]*":\t/ {
	level = depth($0)
	match($0, /"[^"]*":/)
	name[level] = substr($0, RSTART + 1, RLENGTH - 3)
	value = substr($0, RSTART + RLENGTH + 1)
	path = ""
	for (i = 1; i <= level; i++)
		if (name[i] != "") path = path (path != "" ? "/" : "") name[i]
	type = kind(value)
	print path, type
	if (value ~ /^\[\{/) {
		name[level] = name[level] "[]"
		name[level + 1] = ""
	}
	if (value ~ /^\["/) print path "[]", "string"
}
