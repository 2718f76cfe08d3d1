#include "wire/http.h"

static const struct http_error_row error_rows[HTTP_ERROR_N] = {
	[HTTP_OK] = {200, "no error"},
	[HTTP_ERROR_LINE] = {400, "malformed request line"},
	[HTTP_ERROR_METHOD] = {400, "malformed method"},
	[HTTP_ERROR_TARGET] = {400, "malformed request target"},
	[HTTP_ERROR_VERSION] = {400, "malformed HTTP version"},
	[HTTP_ERROR_VERSION_MAJOR] = {505, "HTTP version is not 1.x"},
	[HTTP_ERROR_LINE_END] = {400, "line does not end with CR LF"},
	[HTTP_ERROR_OCTET] = {400, "control octet in the header section"},
	[HTTP_ERROR_FIELD_NAME] = {400, "malformed field name"},
	[HTTP_ERROR_FIELD_FOLD] = {400, "folded field line"},
	[HTTP_ERROR_HOST] = {400, "Host is missing, doubled or malformed"},
	[HTTP_ERROR_LENGTH] = {400, "Content-Length is doubled or malformed"},
	[HTTP_ERROR_LENGTH_TOO_LARGE] = {413, "Content-Length is too large"},
	[HTTP_ERROR_LENGTH_AND_CODING] = {400, "both Content-Length and Transfer-Encoding"},
	[HTTP_ERROR_CODING] = {400, "Transfer-Encoding does not end with one chunked"},
	[HTTP_ERROR_CODING_UNKNOWN] = {501, "transfer coding is not implemented"},
	[HTTP_ERROR_CODING_VERSION] = {400, "Transfer-Encoding in HTTP/1.0"},
	[HTTP_ERROR_CONNECTION] = {400, "malformed Connection field"},
	[HTTP_ERROR_EXPECT] = {417, "unknown expectation"},
	[HTTP_ERROR_METHOD_REFUSED] = {405, "method is not allowed"},
	[HTTP_ERROR_UPGRADE_BODY] = {400, "upgrade together with a body"},
	[HTTP_ERROR_LINE_TOO_LONG] = {414, "first line is too long"},
	[HTTP_ERROR_HEAD_TOO_LARGE] = {431, "header section is too large"},
	[HTTP_ERROR_TOO_MANY_FIELDS] = {431, "too many header fields"},
	[HTTP_ERROR_STATUS] = {502, "malformed status line"},
};

const struct http_error_row *
http_error_row(enum http_error error)
{
	return &error_rows[error];
}

struct reason_row {
	uint16_t status;
	struct str text;
};

/* The IANA registry, in order. */
static const struct reason_row reasons[] = {
	{100, STR("Continue")},
	{101, STR("Switching Protocols")},
	{102, STR("Processing")},
	{103, STR("Early Hints")},
	{200, STR("OK")},
	{201, STR("Created")},
	{202, STR("Accepted")},
	{203, STR("Non-Authoritative Information")},
	{204, STR("No Content")},
	{205, STR("Reset Content")},
	{206, STR("Partial Content")},
	{207, STR("Multi-Status")},
	{208, STR("Already Reported")},
	{226, STR("IM Used")},
	{300, STR("Multiple Choices")},
	{301, STR("Moved Permanently")},
	{302, STR("Found")},
	{303, STR("See Other")},
	{304, STR("Not Modified")},
	{305, STR("Use Proxy")},
	{307, STR("Temporary Redirect")},
	{308, STR("Permanent Redirect")},
	{400, STR("Bad Request")},
	{401, STR("Unauthorized")},
	{402, STR("Payment Required")},
	{403, STR("Forbidden")},
	{404, STR("Not Found")},
	{405, STR("Method Not Allowed")},
	{406, STR("Not Acceptable")},
	{407, STR("Proxy Authentication Required")},
	{408, STR("Request Timeout")},
	{409, STR("Conflict")},
	{410, STR("Gone")},
	{411, STR("Length Required")},
	{412, STR("Precondition Failed")},
	{413, STR("Content Too Large")},
	{414, STR("URI Too Long")},
	{415, STR("Unsupported Media Type")},
	{416, STR("Range Not Satisfiable")},
	{417, STR("Expectation Failed")},
	{421, STR("Misdirected Request")},
	{422, STR("Unprocessable Content")},
	{423, STR("Locked")},
	{424, STR("Failed Dependency")},
	{425, STR("Too Early")},
	{426, STR("Upgrade Required")},
	{428, STR("Precondition Required")},
	{429, STR("Too Many Requests")},
	{431, STR("Request Header Fields Too Large")},
	{451, STR("Unavailable For Legal Reasons")},
	{500, STR("Internal Server Error")},
	{501, STR("Not Implemented")},
	{502, STR("Bad Gateway")},
	{503, STR("Service Unavailable")},
	{504, STR("Gateway Timeout")},
	{505, STR("HTTP Version Not Supported")},
	{506, STR("Variant Also Negotiates")},
	{507, STR("Insufficient Storage")},
	{508, STR("Loop Detected")},
	{511, STR("Network Authentication Required")},
};

struct str
http_reason(uint16_t status)
{
	size_t low = 0, high = array_count(reasons);
	if (status == 200)
		return STR("OK");
	while (low < high) {
		size_t middle = (low + high) / 2;
		if (reasons[middle].status == status)
			return reasons[middle].text;
		if (reasons[middle].status < status)
			low = middle + 1;
		else
			high = middle;
	}
	return STR("Unknown");
}

static char *
put_digits(char *out, int64_t number, int width)
{
	for (int i = width - 1; i >= 0; i--) {
		out[i] = (char)('0' + number % 10);
		number /= 10;
	}
	return out + width;
}

static char *
put_text(char *out, const char *text, size_t len)
{
	memcpy(out, text, len);
	return out + len;
}

struct civil {
	int64_t year;
	unsigned int month; /* 0 … 11 */
	unsigned int day;   /* 1 … 31 */
};

/* Days since 1970-01-01, not negative, to a date of the Gregorian calendar:
 * counted in years that begin in March, so that the leap day is the last. */
static struct civil
civil_from_days(int64_t days)
{
	enum { DAYS_TO_MARCH_0000 = 719468, DAYS_IN_400_YEARS = 146097 };
	int64_t shifted = days + DAYS_TO_MARCH_0000;
	int64_t era = shifted / DAYS_IN_400_YEARS;
	int64_t day = shifted % DAYS_IN_400_YEARS;
	int64_t year = (day - day / 1460 + day / 36524 - day / 146096) / 365;
	int64_t day_of_year = day - (365 * year + year / 4 - year / 100);
	int64_t month = (5 * day_of_year + 2) / 153; /* 0 is March */
	struct civil civil = {
		.year = era * 400 + year + (month >= 10),
		.month = (unsigned int)((month + 2) % 12),
		.day = (unsigned int)(day_of_year - (153 * month + 2) / 5 + 1),
	};
	return civil;
}

void
http_date(char out[30], int64_t unix_seconds)
{
	static const char weekdays[] = "ThuFriSatSunMonTueWed"; /* 1970 began on a Thursday */
	static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
	const int64_t last = INT64_C(253402300799); /* the end of the year 9999: the format has four digits */
	int64_t seconds = unix_seconds < 0 ? 0 : unix_seconds > last ? last : unix_seconds;
	int64_t days = seconds / 86400, rest = seconds % 86400;
	struct civil civil = civil_from_days(days);
	char *at = put_text(out, weekdays + days % 7 * 3, 3);
	at = put_text(at, ", ", 2);
	at = put_digits(at, civil.day, 2);
	*at++ = ' ';
	at = put_text(at, months + (size_t)civil.month * 3, 3);
	*at++ = ' ';
	at = put_digits(at, civil.year, 4);
	*at++ = ' ';
	at = put_digits(at, rest / 3600, 2);
	*at++ = ':';
	at = put_digits(at, rest / 60 % 60, 2);
	*at++ = ':';
	at = put_digits(at, rest % 60, 2);
	put_text(at, " GMT", 5);
}
