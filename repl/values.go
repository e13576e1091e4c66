package repl

import (
	"fmt"
	"maps"

	"go.starlark.net/starlark"
)

// keep stores the value that this prompt shows.
func (sh *Shell) keep(v starlark.Value) {
	if sh.values == nil {
		sh.values = make(map[int]starlark.Value)
	}
	sh.values[sh.count] = v
	sh.forgetValues()
}

// forgetValues drops the values beyond settings.history.
func (sh *Shell) forgetValues() {
	maps.DeleteFunc(sh.values, func(n int, _ starlark.Value) bool { return n <= sh.count-sh.settings.history })
}

func (sh *Shell) v(r *request) (starlark.Value, error) {
	n := -1
	if err := r.unpack("n?", &n); err != nil {
		return nil, err
	}
	prompt := n
	if n < 0 {
		prompt = sh.count + n
	}
	if prompt < 1 || prompt >= sh.count {
		return nil, fmt.Errorf("v: there is no prompt %d before this one, %d", prompt, sh.count)
	}
	if prompt <= sh.count-sh.settings.history {
		return nil, fmt.Errorf("v: prompt %d is forgotten; configure(history=%d) would keep as many", prompt, sh.count)
	}
	if v := sh.values[prompt]; v != nil {
		return v, nil
	}
	return starlark.None, nil
}
