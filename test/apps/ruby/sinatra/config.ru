# A Sinatra application, modular style: GET /, POST /upload (answers the length
# of what came), GET /download?n= (streams n bytes), GET /raise.
require "sinatra/base"

class SampleApplication < Sinatra::Base
	set :environment, (ENV["RACK_ENV"] || "production").to_sym
	set :show_exceptions, false
	set :raise_errors, true
	disable :protection

	get "/" do
		content_type :text
		"hello from sinatra\n"
	end

	post "/upload" do
		length = 0
		File.open(File::NULL, "wb") do |null|
			while (piece = request.body.read(65_536))
				null.write(piece)
				length += piece.bytesize
			end
		end
		content_type :text
		"#{length}\n"
	end

	get "/download" do
		bytes = params.fetch("n", "1048576").to_i
		content_type "application/octet-stream"
		stream do |out|
			part = "x" * 65_536
			left = bytes
			while left > 0
				out << (left >= part.bytesize ? part : part.byteslice(0, left))
				left -= part.bytesize
			end
		end
	end

	get "/raise" do
		raise "a secret of the sinatra application"
	end
end

run SampleApplication
