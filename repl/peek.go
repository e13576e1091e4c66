package repl

import (
	"go.starlark.net/starlark"
	"go.starlark.net/syntax"
)

// maxPeek is how long an operand may be whose attributes are completed, in bytes.
const maxPeek = 4096

// peek returns the value of an operand whose attributes are to be completed, or nil if
// that is not known without running something: it calls no function but v, which only
// looks up.
func (sh *Shell) peek(operand string) starlark.Value {
	if len(operand) > maxPeek {
		return nil
	}
	x, err := dialect.ParseExpr("", renameLoad([]string{operand}), 0)
	if err != nil {
		return nil
	}
	return sh.peekAt(x)
}

func (sh *Shell) peekAt(x syntax.Expr) starlark.Value {
	switch x := x.(type) {
	case *syntax.Ident:
		if v := sh.globals[x.Name]; v != nil {
			return v
		}
		return starlark.Universe[x.Name]
	case *syntax.ParenExpr:
		return sh.peekAt(x.X)
	case *syntax.DotExpr:
		return attribute(sh.peekAt(x.X), x.Name.Name)
	case *syntax.IndexExpr:
		return element(sh.peekAt(x.X), sh.peekAt(x.Y))
	case *syntax.SliceExpr:
		return sh.peekAt(x.X) // of the same type
	case *syntax.UnaryExpr:
		if n, ok := sh.peekAt(x.X).(starlark.Int); ok && x.Op == syntax.MINUS {
			return starlark.MakeInt(0).Sub(n)
		}
	case *syntax.CallExpr:
		return sh.peekCall(x)
	case *syntax.Literal:
		return literal(x)
	case *syntax.ListExpr:
		return starlark.NewList(nil)
	case *syntax.DictExpr:
		return starlark.NewDict(0)
	}
	return nil
}

// peekCall returns the value of v(n), without a note that it was called.
func (sh *Shell) peekCall(x *syntax.CallExpr) starlark.Value {
	if c := sh.commandOf(sh.peekAt(x.Fn)); c == nil || c.name() != "v" || len(x.Args) > 1 {
		return nil
	}
	r := &request{name: "v"}
	for _, arg := range x.Args {
		v := sh.peekAt(arg)
		if v == nil {
			return nil
		}
		r.args = append(r.args, v)
	}
	v, _ := sh.v(r) // nil if there is none
	return v
}

func literal(x *syntax.Literal) starlark.Value {
	switch v := x.Value.(type) {
	case int64:
		return starlark.MakeInt64(v)
	case string:
		if x.Token == syntax.BYTES {
			return starlark.Bytes(v)
		}
		return starlark.String(v)
	}
	return nil
}

// element returns an element of a list or the like, or of a dict, or nil.
func element(of, key starlark.Value) starlark.Value {
	if key == nil {
		return nil
	}
	if m, ok := of.(starlark.Mapping); ok {
		v, _, _ := m.Get(key) // nil if there is none
		return v
	}
	list, ok := of.(starlark.Indexable)
	if !ok {
		return nil
	}
	i, err := starlark.AsInt32(key)
	if err != nil {
		return nil
	}
	if i < 0 {
		i += list.Len()
	}
	if i < 0 || i >= list.Len() {
		return nil
	}
	return list.Index(i)
}
