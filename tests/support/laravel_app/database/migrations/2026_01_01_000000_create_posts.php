<?php
use Illuminate\Database\Migrations\Migration;
use Illuminate\Database\Schema\Blueprint;
use Illuminate\Support\Facades\Schema;
class CreatePosts extends Migration
{
    public function up()
    {
        Schema::create('posts', function (Blueprint $table) { $table->id(); $table->string('title'); $table->json('extra')->nullable(); $table->timestamp('created_at')->nullable(); });
        Schema::create('sessions', function (Blueprint $table) { $table->string('id')->primary(); $table->foreignId('user_id')->nullable(); $table->string('ip_address', 45)->nullable(); $table->text('user_agent')->nullable(); $table->text('payload'); $table->integer('last_activity')->index(); });
        Schema::create('cache', function (Blueprint $table) { $table->string('key')->primary(); $table->text('value'); $table->integer('expiration'); });
        Schema::create('jobs', function (Blueprint $table) { $table->id(); $table->string('queue')->index(); $table->longText('payload'); });
    }
}
