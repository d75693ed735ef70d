<title>{{ config('app.name') }}</title><ul>@foreach ($posts as $post)<li>{{ $post->title }}</li>@endforeach</ul>
