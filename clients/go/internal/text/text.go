// Package text makes texts fit into what the contract allows, as valid UTF-8.
package text

import (
	"strings"
	"unicode/utf8"
)

const ellipsis = "…"

// Clip cuts the end off so that at most so many bytes are left.
func Clip(text string, bytesMax int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= bytesMax {
		return text
	}
	cut := bytesMax - len(ellipsis)
	for cut > 0 && !utf8.RuneStart(text[cut]) {
		cut--
	}
	return text[:cut] + ellipsis
}

// ClipStart cuts the beginning off so that at most so many bytes are left.
func ClipStart(text string, bytesMax int) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	if len(text) <= bytesMax {
		return text
	}
	cut := len(text) - bytesMax + len(ellipsis)
	for cut < len(text) && !utf8.RuneStart(text[cut]) {
		cut++
	}
	return ellipsis + text[cut:]
}
