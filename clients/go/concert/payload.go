package concert

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"google.golang.org/grpc/codes"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"concert.dev/clients/go/concertv1"
)

// ToPayload makes the contract's Payload: of bytes, or of whatever encoding/json can encode; a *concertv1.Payload passes through
// and nil is no payload. It is refused with ErrInvalidField, before anything is sent, if it is over 1 MiB, nests deeper than
// 28 levels, or has a number that is not finite, an integer beyond 2^53 (send it as a string), or text that is not UTF-8.
func ToPayload(content any) (*concertv1.Payload, error) {
	var payload *concertv1.Payload
	switch c := content.(type) {
	case nil:
		return nil, nil
	case *concertv1.Payload:
		payload = c
	case []byte:
		payload = &concertv1.Payload{Content: &concertv1.Payload_Data{Data: c}}
	default:
		value, err := ToValue(content)
		if err != nil {
			return nil, err
		}
		payload = &concertv1.Payload{Content: &concertv1.Payload_Json{Json: value}}
	}
	if size := proto.Size(payload); size > payloadBytesMax {
		return nil, invalidPayload("a payload of %d bytes is over the limit of %d", size, payloadBytesMax)
	}
	return payload, nil
}

// Bytes makes a Payload of bytes with an IANA media type such as "image/png".
func Bytes(data []byte, contentType string) *concertv1.Payload {
	return &concertv1.Payload{Content: &concertv1.Payload_Data{Data: data}, ContentType: contentType}
}

// Decode puts a Payload into what the pointer points to: JSON as encoding/json would, bytes into a *[]byte; into an *any either
// of them. An empty payload leaves it as it is.
func Decode(payload *concertv1.Payload, into any) error {
	switch content := payload.GetContent().(type) {
	case *concertv1.Payload_Data:
		switch target := into.(type) {
		case *[]byte:
			*target = content.Data
		case *any:
			*target = content.Data
		default:
			return invalidPayload("bytes cannot be decoded into a %T", into)
		}
	case *concertv1.Payload_Json:
		return DecodeValue(content.Json, into)
	}
	return nil
}

// ToValue makes a google.protobuf.Value of whatever encoding/json can encode. It refuses as ToPayload does.
func ToValue(content any) (*structpb.Value, error) {
	return toValue(content, 1, "")
}

// DecodeValue puts a Value into what the pointer points to, as encoding/json would.
func DecodeValue(value *structpb.Value, into any) error {
	if target, ok := into.(*any); ok {
		*target = fromValue(value)
		return nil
	}
	return decodeJSON(fromValue(value), into)
}

func decodeJSON(content, into any) error {
	encoded, err := json.Marshal(content)
	if err == nil {
		err = json.Unmarshal(encoded, into)
	}
	if err != nil {
		return invalidPayload("the value does not fit into a %T: %v", into, err)
	}
	return nil
}

// fromValue is JSON as Go sees it: map[string]any, []any, float64, string, bool, nil.
func fromValue(value *structpb.Value) any {
	if value == nil {
		return nil
	}
	return value.AsInterface()
}

func toValue(content any, depth int, path string) (*structpb.Value, error) {
	switch c := content.(type) {
	case nil:
		return structpb.NewNullValue(), nil
	case string:
		return textValue(c, path)
	case bool:
		return structpb.NewBoolValue(c), nil
	case int:
		return integerValue(int64(c), path)
	case int64:
		return integerValue(c, path)
	case uint64:
		if c > jsonIntegerMax {
			return nil, tooLarge(path)
		}
		return structpb.NewNumberValue(float64(c)), nil
	case float64:
		if math.IsNaN(c) || math.IsInf(c, 0) {
			return nil, invalidPayload("%s is %v: JSON has no NaN and no infinity", at(path), c)
		}
		return structpb.NewNumberValue(c), nil
	case json.Number:
		return numberValue(c, path)
	case *structpb.Value:
		return c, nil
	case map[string]any:
		return structValue(c, depth, path)
	case []any:
		return listValue(c, depth, path)
	}
	encoded, err := json.Marshal(content)
	if err != nil {
		return nil, invalidPayload("%s cannot be encoded: %v", at(path), err)
	}
	decoder := json.NewDecoder(bytes.NewReader(encoded))
	decoder.UseNumber()
	var plain any
	if err := decoder.Decode(&plain); err != nil {
		return nil, invalidPayload("%s cannot be encoded: %v", at(path), err)
	}
	return toValue(plain, depth, path)
}

func structValue(content map[string]any, depth int, path string) (*structpb.Value, error) {
	if err := checkDepth(depth, path); err != nil {
		return nil, err
	}
	fields := make(map[string]*structpb.Value, len(content))
	for key, item := range content {
		if !utf8.ValidString(key) {
			return nil, invalidPayload("%s has a key that is not valid UTF-8", at(path))
		}
		inner := key
		if path != "" {
			inner = path + "." + key
		}
		value, err := toValue(item, depth+1, inner)
		if err != nil {
			return nil, err
		}
		fields[key] = value
	}
	return structpb.NewStructValue(&structpb.Struct{Fields: fields}), nil
}

func listValue(content []any, depth int, path string) (*structpb.Value, error) {
	if err := checkDepth(depth, path); err != nil {
		return nil, err
	}
	values := make([]*structpb.Value, len(content))
	for index, item := range content {
		value, err := toValue(item, depth+1, fmt.Sprintf("%s[%d]", path, index))
		if err != nil {
			return nil, err
		}
		values[index] = value
	}
	return structpb.NewListValue(&structpb.ListValue{Values: values}), nil
}

func textValue(text, path string) (*structpb.Value, error) {
	if !utf8.ValidString(text) {
		return nil, invalidPayload("%s holds text that is not valid UTF-8", at(path))
	}
	return structpb.NewStringValue(text), nil
}

func integerValue(number int64, path string) (*structpb.Value, error) {
	if number > jsonIntegerMax || number < -jsonIntegerMax {
		return nil, tooLarge(path)
	}
	return structpb.NewNumberValue(float64(number)), nil
}

func numberValue(number json.Number, path string) (*structpb.Value, error) {
	if integer, err := number.Int64(); err == nil {
		return integerValue(integer, path)
	}
	if _, err := strconv.ParseUint(number.String(), 10, 64); err == nil {
		return nil, tooLarge(path)
	}
	float, err := number.Float64()
	if err != nil || math.IsInf(float, 0) {
		return nil, invalidPayload("%s is %s, which is no double", at(path), number)
	}
	return structpb.NewNumberValue(float), nil
}

func checkDepth(depth int, path string) error {
	if depth > jsonDepthMax {
		return invalidPayload("%.80s nests deeper than %d levels", at(path), jsonDepthMax)
	}
	return nil
}

func tooLarge(path string) error {
	return invalidPayload("%s is an integer beyond 2^53: send it as a string", at(path))
}

func at(path string) string {
	if path == "" {
		return "the value"
	}
	return path
}

func invalidPayload(format string, arguments ...any) error {
	return refuse(codes.InvalidArgument, ErrInvalidField, format, arguments...)
}
