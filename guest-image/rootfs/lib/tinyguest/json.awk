# Takes a JSON document apart: every string, number, true, false or null becomes one file in
# `dir`, named after its path: {"keys": [{"data": "x"}]} gives keys.0.data holding x.
# Characters of a name that could mean something in a path become "_".
#
# The text is split at the quotes, so that strings are found without looking at every character:
# odd pieces are outside strings, even ones inside (a piece that ends in a backslash goes on).

{ text = text $0 "\n" }

END {
  count = split(text, piece, "\"")
  for (i = 1; i <= count; i++) {
    outside(piece[i])
    if (++i > count) break
    string = piece[i]
    while (ends_in_escape(string) && i < count) string = string "\"" piece[++i]
    have = "string"
  }
}

# Punctuation decides what the string just read was: a name (":" follows) or a value.
function outside(s,    n, c, j, word) {
  n = length(s)
  for (j = 1; j <= n; j++) {
    c = substr(s, j, 1)
    if (c ~ /[ \t\r\n]/) continue
    if (c == ":") { name[depth] = unescape(string); have = ""; continue }
    if (index("{}[],", c)) {
      if (have == "string") save(unescape(string))
      else if (word != "") save(word)
      have = word = ""
      if (c == "{" || c == "[") { depth++; array[depth] = (c == "["); name[depth] = 0 }
      else if (c == ",") { if (array[depth]) name[depth]++ }
      else depth--
    } else word = word c
  }
  if (word != "") save(word)
}

function save(value,    path, d) {
  for (d = 1; d <= depth; d++) path = path (d > 1 ? "." : "") name[d]
  gsub(/[^A-Za-z0-9_.-]/, "_", path)
  if (path == "") return
  path = dir "/" substr(path, 1, 200)
  print value > path
  close(path)
}

function ends_in_escape(s,    n) {
  n = length(s)
  while (n > 0 && substr(s, n, 1) == "\\") n--
  return (length(s) - n) % 2
}

function unescape(s,    out, at, c) {
  while ((at = index(s, "\\"))) {
    out = out substr(s, 1, at - 1)
    c = substr(s, at + 1, 1)
    s = substr(s, at + 2)
    if (c == "n") out = out "\n"
    else if (c == "t") out = out "\t"
    else if (c == "r") out = out "\r"
    else if (c == "b" || c == "f") continue
    else if (c == "u") {
      c = hex(substr(s, 1, 4))
      s = substr(s, 5)
      if (c >= 55296 && c < 56320 && substr(s, 1, 2) == "\\u") {      # two halves of one character
        c = 65536 + (c - 55296) * 1024 + hex(substr(s, 3, 4)) - 56320
        s = substr(s, 7)
      }
      out = out utf8(c)
    } else out = out c
  }
  return out s
}

function hex(s,    n, j) {
  for (j = 1; j <= length(s); j++) n = n * 16 + index("0123456789abcdef", tolower(substr(s, j, 1))) - 1
  return n
}

function utf8(c) {
  if (c < 128) return sprintf("%c", c)
  if (c < 2048) return sprintf("%c%c", 192 + int(c / 64), 128 + c % 64)
  if (c < 65536) return sprintf("%c%c%c", 224 + int(c / 4096), 128 + int(c / 64) % 64, 128 + c % 64)
  return sprintf("%c%c%c%c", 240 + int(c / 262144), 128 + int(c / 4096) % 64, 128 + int(c / 64) % 64, 128 + c % 64)
}
